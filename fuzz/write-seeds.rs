//! Writes the vectors and recordings as files that libFuzzer can start from, in a folder for each
//! target below the one that is named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of it is test code"
)]

mod seeds;

use std::fs;
use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder is named"));
    for (number, seed) in seeds::seeds().into_iter().enumerate() {
        for (target, _) in &seed.targets {
            let folder = folder.join(target);
            fs::create_dir_all(&folder).unwrap();
            let name = seed.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            fs::write(folder.join(format!("{number}-{name}")), &seed.bytes).unwrap();
        }
    }
}
