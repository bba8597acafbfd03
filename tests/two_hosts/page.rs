//! What the page says to type.

use std::fs;

use crate::hosts::Host;

/// One block of commands.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) host: Host,
    pub(crate) script: String,
}

/// All blocks of the page, in order; the text before one says on which host, or it is the last one's.
pub(crate) fn blocks() -> Vec<Block> {
    let readme = harness::folder().join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, page) = readme.split_once("\n## Two hosts, secured\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let mut host = Host::Controller;
    let mut parts = page.split("```\n");
    let mut blocks = Vec::new();
    while let (Some(text), Some(script)) = (parts.next(), parts.next()) {
        if text.contains("n the sensor's host,") {
            host = Host::Sensor;
        } else if text.contains("n the controller's host,") {
            host = Host::Controller;
        }
        let script = script.to_owned();
        blocks.push(Block { host, script });
    }
    blocks
}
