//! TCP ports that nobody uses.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below the range from which systems take the ports of outgoing connections.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

static NEXT: Mutex<Option<u16>> = Mutex::new(None);

/// The first of `count` consecutive ports that were free just now. No port is handed out twice by
/// one process, and two processes start at different places.
///
/// # Panics
/// If there are none.
pub fn free(count: u16) -> u16 {
    let mut next = NEXT.lock().expect("no holder of this lock panics");
    let mut first = next.unwrap_or_else(start);
    for _ in FIRST..LAST {
        if first > LAST - count {
            first = FIRST;
        }
        let taken = (first..first + count).find(|&port| !is_free(port));
        let Some(taken) = taken else {
            *next = Some(first + count);
            return first;
        };
        first = taken + 1;
    }
    panic!("no {count} free ports in a row between {FIRST} and {LAST}");
}

fn start() -> u16 {
    let span = u32::from(LAST - FIRST);
    // The golden section of the span keeps processes with neighbouring ids far apart.
    let offset = std::process::id().wrapping_mul(7417) % span;
    FIRST + u16::try_from(offset).unwrap_or_default()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
