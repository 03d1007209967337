//! What could not be read, and what to do about it.

use std::error::Error;

/// Something that the audit needs cannot be read, so that nothing can be said.
#[derive(Debug)]
pub struct Unreadable {
    what: String,
    way_out: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl Unreadable {
    /// A database or the broker that does not answer.
    pub(super) fn away(what: String, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let way_out = "see whether it runs with `cargo mesh status`, start it with `cargo mesh up`";
        Self { what, way_out, source: source.into() }
    }

    /// A view, table or stream that should be there.
    pub(super) fn missing(what: String, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let way_out = "let `cargo mesh up` bring databases and streams up to date";
        Self { what, way_out, source: source.into() }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read {}: {}", self.what, self.way_out)
    }
}

impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
