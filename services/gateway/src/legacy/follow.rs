//! `LEGACY_FILE`, read again when it changes.

use std::{path::Path, sync::Arc};

use mesh_runtime::{ConfigError, Service};

use super::{Legacy, file, file::Ground, table::Table};
use crate::follow::File;

pub(super) fn begin(
    service: &Service,
    path: &Path,
    ground: Ground,
) -> Result<Arc<Legacy>, ConfigError> {
    let file = File::read("LEGACY_FILE", path)?;
    let table = file::read(&file.text, &ground, &Table::default());
    let legacy = Legacy::new(table.map_err(|wrong| file.wrong(wrong))?);
    let followed = Arc::downgrade(&legacy);
    file.follow(service, move |text| {
        let legacy = followed.upgrade()?;
        let read = file::read(text, &ground, &legacy.table());
        Some(read.map(|table| legacy.replace(table)).map_err(|wrong| wrong.to_string()))
    });
    Ok(legacy)
}
