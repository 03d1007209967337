//! What is kept of a flag: a rule, and who made it.

use serde::{Deserialize, Serialize};

use crate::Rule;

/// Somebody's word on a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// For whom it is on; none if it is as declared again.
    pub rule: Option<Rule>,
    /// Who says so.
    pub by: String,
    /// When, as RFC 3339 has it.
    pub at: String,
    /// What for; empty if they gave no reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Change {
    /// Reads what is kept.
    ///
    /// # Errors
    /// In words, if it cannot be read.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}
