//! `EDGE_FILE`, read again when it changes. A request goes by what it said when it came.

use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderName;
use mesh_runtime::{ConfigError, Service};

use super::{
    Owner,
    file::{Places, Sheet},
    of_ingress,
};
use crate::{Config, follow::File};

/// The file as it is now.
#[derive(Debug)]
pub(super) struct Sheets(RwLock<Arc<Sheet>>);

/// What else it is read by.
struct Reading<P> {
    places: P,
    owner: Owner,
    forwarded: Vec<HeaderName>,
}

impl Sheets {
    /// Reads the file, and again whenever it changes, for as long as the service runs. One that cannot
    /// be changes nothing then, and is told of once.
    ///
    /// # Errors
    /// A [`ConfigError`] with the line, if the file cannot be.
    pub(super) fn follow(
        service: &Service,
        config: &Config,
        places: impl Places + Send + 'static,
    ) -> Result<Arc<Self>, ConfigError> {
        let forwarded = config.forward_metadata.clone();
        let reading = Reading { places, owner: config.edge, forwarded };
        let Some(path) = &config.edge_file else {
            let nothing = Sheet { forwarded: reading.forwarded.into(), ..Sheet::default() };
            return Ok(Self::of(nothing));
        };
        let file = File::read("EDGE_FILE", path)?;
        let first = reading.read(&file.text, &Sheet::default());
        let sheets = Self::of(first.map_err(|wrong| file.wrong(wrong))?);
        let followed = Arc::downgrade(&sheets);
        file.follow(service, move |text| {
            let sheets = followed.upgrade()?;
            let read = reading.read(text, &sheets.now());
            Some(read.map(|sheet| sheets.replace(sheet)))
        });
        Ok(sheets)
    }

    fn of(sheet: Sheet) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(sheet))))
    }

    /// What it says now.
    pub(super) fn now(&self) -> Arc<Sheet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, sheet: Sheet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sheet);
    }
}

impl<P: Places> Reading<P> {
    /// Reads the file's text. Whoever has used up a quota that is as it was has used it up still.
    fn read(&self, text: &str, before: &Sheet) -> Result<Sheet, String> {
        let mut sheet = Sheet::read(text, &self.places).map_err(|wrong| wrong.to_string())?;
        if self.owner == Owner::Ingress && !sheet.rates.is_empty() {
            return Err(of_ingress("[rates] in EDGE_FILE"));
        }
        let added = sheet.request.names().cloned();
        sheet.forwarded = self.forwarded.iter().cloned().chain(added).collect();
        sheet.rates.go_on(&before.rates);
        Ok(sheet)
    }
}
