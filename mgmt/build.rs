//! Has the program's relocations packed.
//!
//! A program that may be loaded anywhere has a list of its pointers, which the loader goes through
//! and which stays in memory ever after. Packed (RELR), 0.9 MB of it become a few kB. glibc knows the
//! packed form since 2.36; for an older one, or one that cannot be asked, nothing is changed.

#![allow(clippy::print_stdout, reason = "this is how Cargo is told")]

use std::env;
use std::process::Command;

/// The first glibc that loads packed relocations.
const KNOWS_PACKED: (u32, u32) = (2, 36);

/// Also of the `tests` package, which builds the program again under a name of its own.
fn main() {
    println!("cargo:rerun-if-changed=../mgmt/build.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    let is_native = variable("HOST") == variable("TARGET");
    let is_optimized = variable("PROFILE") == "release";
    let is_glibc =
        variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if is_native && is_optimized && is_glibc && glibc().is_some_and(|it| it >= KNOWS_PACKED) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this system's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
