//! What is asked of a checkout before anything of it is applied.

use std::path::Path;

use anyhow::{Result, anyhow};
use meshctl::generate::refuse_unfit;

use crate::output;

/// Refuses a checkout of which nothing should be applied, and says what to do about it.
///
/// # Errors
/// What [`refuse_unfit`] finds, each with its file and line.
pub fn applicable(root: &Path) -> Result<()> {
    let program = output::program();
    refuse_unfit(root).map_err(|why| {
        anyhow!(
            "{why:#}\nnothing is applied: put that right, or let `{program} gen` make what is generated"
        )
    })
}
