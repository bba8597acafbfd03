//! Runs every target over the committed corpus, and over mutations of real messages.
//!
//! Nothing here is random: the same mutations run every time, so a failure repeats by itself. To
//! keep an input that is worth it, add it to `corpus/<target>/`; those that a fuzzer found to break
//! something go to `crashes/<target>/` with the fix.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "all of it is test code"
)]

mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use seeds::{Seed, seeds};
use zeek_mgmt_fuzz::{TARGETS, Target};

#[test]
fn committed_inputs_break_no_target() {
    for (name, target) in TARGETS {
        let inputs = inputs(&root().join("corpus").join(name));
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        for (file, input) in inputs {
            run(*target, &input, &file.display().to_string());
        }
    }
}

#[test]
fn what_a_fuzzer_once_found_breaks_no_target() {
    for (name, target) in TARGETS {
        for (file, input) in inputs(&root().join("crashes").join(name)) {
            run(*target, &input, &file.display().to_string());
        }
    }
}

#[test]
fn every_folder_and_program_has_a_target_and_every_target_a_program() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    for folder in ["corpus", "crashes"] {
        let unknown: Vec<_> = names(folder).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "no targets {unknown:?} for {folder}");
    }
    let programs = names("targets").into_iter();
    let programs: BTreeSet<String> = programs.map(|name| name.replace(".rs", "")).collect();
    assert_eq!(programs, known);
}

/// What is in a folder, if it is there.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn truncated_messages_break_no_target() {
    for seed in seeds() {
        // At every byte of what is short, at as many places of what is long.
        let step = seed.bytes.len() / 1024 + 1;
        for end in (0..=seed.bytes.len()).step_by(step) {
            run_seed(&seed, &seed.bytes[..end], &format!("cut at {end}"));
        }
    }
}

#[test]
fn messages_with_flipped_bits_break_no_target() {
    let mut random = Random(0x5eed_0001);
    for seed in seeds() {
        let bits = seed.bytes.len() * 8;
        // Every bit of what is short, fewer the longer it is.
        for n in 0..bits.min(1024).min((1 << 18) / (bits / 8 + 1) + 64) {
            let bit = if bits <= 1024 { n } else { random.below(bits) };
            let mut bytes = seed.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            run_seed(&seed, &bytes, &format!("bit {bit} flipped"));
        }
    }
}

#[test]
fn messages_with_spliced_bytes_break_no_target() {
    let mut random = Random(0x5eed_0002);
    let mut seeds = seeds();
    seeds.extend(committed());
    for seed in &seeds {
        // A whole cluster takes its time.
        let is_slow = seed.targets.iter().any(|(name, _)| *name == "system");
        for round in 0..if is_slow { 8 } else { 32 } {
            let mut bytes = seed.bytes.clone();
            for _ in 0..=random.below(3) {
                mutate(&mut bytes, &seeds, &mut random);
            }
            run_seed(seed, &bytes, &format!("mutation {round}"));
        }
    }
}

/// The corpus, to be mutated too: what drives the machines is nowhere else.
fn committed() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, target) in TARGETS {
        for (file, bytes) in inputs(&root().join("corpus").join(name)) {
            seeds.push(Seed {
                name: file.display().to_string(),
                targets: vec![(name, *target)],
                bytes,
            });
        }
    }
    seeds
}

/// Replaces, inserts, removes or repeats a piece, or takes one from another message.
fn mutate(bytes: &mut Vec<u8>, seeds: &[Seed], random: &mut Random) {
    const ODD: [u8; 8] = [0x00, 0x01, 0x0c, 0x0d, 0x0e, 0x7f, 0x80, 0xff];
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(16) + 1);
    let piece = match random.below(4) {
        0 => vec![ODD[random.below(ODD.len())]; 1 + random.below(6)],
        1 => Vec::new(),
        2 => bytes[at..end].repeat(2 + random.below(3)),
        _ => {
            let other = &seeds[random.below(seeds.len())].bytes;
            let from = random.below(other.len() + 1);
            other[from..other.len().min(from + 64)].to_vec()
        }
    };
    bytes.splice(at..end, piece);
}

fn run_seed(seed: &Seed, input: &[u8], what: &str) {
    for (name, target) in &seed.targets {
        run(*target, input, &format!("{name}: {}, {what}", seed.name));
    }
}

/// Says which input it was before the panic goes on.
fn run(target: Target, input: &[u8], what: &str) {
    let outcome = std::panic::catch_unwind(|| target(input));
    if let Err(panic) = outcome {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{what}: {hex}");
        std::panic::resume_unwind(panic);
    }
}

/// The files of a folder, if it is there.
fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| (file.clone(), fs::read(&file).unwrap());
    files.into_iter().map(read).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}
