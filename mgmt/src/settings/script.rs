//! Reading settings out of Zeek scripts, without a Zeek.
//!
//! A deployment's settings stand in its own scripts, as `redef` statements among whatever else the
//! scripts do. [`read`] cuts one file into statements: those that set an option it is asked about,
//! those that load another file, and all others, which it steps over. Nothing is ever half
//! understood: what stands in `@if` blocks, functions and event handlers is stepped over whole and
//! listed, and a value that cannot be told without running the script is an error.
//!
//! Files are hostile input: their size is limited, nesting in values too, and stepping over takes
//! no recursion.

mod constant;
mod expression;
mod statement;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use constant::objection;
pub(super) use expression::{Scope, evaluate};
pub use statement::{Expression, Interest, Operator, ReadError, Script, Skipped, Statement};

/// The longest file that is read, in bytes.
pub const MAX_FILE: u64 = 4 << 20;

/// Reads the text of a file that stands in `directory`. Redefinitions of what is of no interest
/// are stepped over.
#[must_use]
pub fn read(text: &str, directory: &str, interest: Interest) -> Script {
    statement::read(text, directory, interest)
}

/// A value as it stands behind the `=` of an argument.
pub(super) fn expression(text: &str) -> Expression {
    statement::expression(text)
}
