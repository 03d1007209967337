//! A policy file, and what it means for the contracts.

use std::{path::Path, sync::Arc};

use mesh_policy::{Effective, Overlay, Table};

use crate::followed::Followed;

/// A file of operational values.
#[derive(Debug)]
pub(super) struct PolicyFile {
    file: Followed,
    contracts: Arc<Table>,
}

impl PolicyFile {
    /// Reads a file that must be there and be accepted.
    pub fn open(path: &Path, contracts: Arc<Table>) -> Result<(Self, Effective), String> {
        let (file, text) = Followed::open(path)?;
        let effective = judge(&contracts, &text)?;
        Ok((Self { file, contracts }, effective))
    }

    /// What it says now; nothing if that was seen before and nobody asked.
    pub async fn look(&mut self, is_asked: bool) -> Option<Result<Effective, String>> {
        let text = self.file.look(is_asked).await?;
        Some(text.and_then(|text| judge(&self.contracts, text)))
    }
}

fn judge(contracts: &Arc<Table>, text: &str) -> Result<Effective, String> {
    Overlay::parse(text)
        .and_then(|overlay| Effective::new(Arc::clone(contracts), &overlay))
        .map_err(|refused| refused.to_string())
}
