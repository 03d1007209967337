//! Text that no log line shows.

use std::{convert::Infallible, fmt, str::FromStr};

/// A setting that must not be printed: its `Debug` form is `***`, it has no `Display`, and nothing
/// serialises it.
///
/// ```
/// let secret = mesh_runtime::Secret::new("correct horse");
/// assert_eq!(format!("{secret:?}"), "***");
/// ```
///
/// ```compile_fail,E0277
/// let secret = mesh_runtime::Secret::new("correct horse");
/// format!("{secret}");
/// ```
///
/// ```compile_fail,E0277
/// let secret = mesh_runtime::Secret::new("correct horse");
/// serde_json::to_string(&secret);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
