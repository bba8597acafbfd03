//! A vector file, written while messages come (WIRE §12).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use broker_proto::codec::envelope::Envelope;
use broker_proto::codec::{Limits, data};

use crate::json::write;

/// The file. It is complete after every message, however the program ends.
#[derive(Debug)]
pub(crate) struct Recording {
    file: File,
    entries: u64,
}

impl Recording {
    /// Starts a file, in place of one that may be there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(b"[")?;
        file.write_all(END)?;
        Ok(Self { file, entries: 0 })
    }

    /// Adds one message.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, envelope: &Envelope) -> io::Result<()> {
        let mut entry = String::from(if self.entries == 0 { "\n" } else { ",\n" });
        self.entries += 1;
        entry.push_str(&format!(
            r#" {{"name": "message_{}", "kind": "envelope", "hex": "{}", "json": {}}}"#,
            self.entries,
            write::hex(&envelope.encode()),
            meaning(envelope)
        ));
        let back = i64::try_from(END.len()).unwrap_or_default();
        self.file.seek(SeekFrom::End(-back))?;
        self.file.write_all(entry.as_bytes())?;
        self.file.write_all(END)
    }
}

fn meaning(envelope: &Envelope) -> String {
    let limits = Limits::default();
    let json = match write::envelope(envelope, &limits) {
        Ok(json) => json,
        Err(error) => return write::invalid(&error.to_string()),
    };
    let value = data::decode(&envelope.payload, &limits);
    if value.is_ok_and(|value| data::encode(&value) == envelope.payload) {
        return json;
    }
    let open = json.strip_suffix('}').unwrap_or(&json);
    format!(r#"{open}, "canonical": false}}"#)
}

const END: &[u8] = b"\n]\n";
