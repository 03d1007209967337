//! Which service declares that it serves which contracts.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::Error;

/// The contracts that services declare in their `mesh.toml`.
///
/// ```
/// use mesh_policy::Served;
///
/// let catalog = r#"
///     service = "catalog"
///     contract = "shop.catalog.v1"
///     beside = ["shop.catalog.v2"]
/// "#;
/// let served = Served::declared([catalog])?;
///
/// assert!(served.by("catalog", "shop.catalog.v1.CatalogService"));
/// assert!(served.by("catalog", "shop.catalog.v2.CategoriesService"));
/// assert!(!served.by("catalog", "shop.catalog.v3.CatalogService"));
/// assert!(!served.by("orders", "shop.catalog.v1.CatalogService"));
/// # Ok::<(), mesh_policy::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Packages by service.
    packages: HashMap<String, HashSet<String>>,
}

/// What of a `mesh.toml` matters here.
#[derive(Deserialize)]
struct Declaration {
    service: String,
    contract: Option<String>,
    #[serde(default)]
    beside: Vec<String>,
}

impl Served {
    /// Reads the texts of `mesh.toml` files.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn declared<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut served = Self::default();
        for text in texts {
            let declared: Declaration =
                toml::from_str(text).map_err(|error| Error::Declaration(error.to_string()))?;
            let packages = served.packages.entry(declared.service).or_default();
            packages.extend(declared.contract.into_iter().chain(declared.beside));
        }
        Ok(served)
    }

    /// Whether the service `name` serves `contract`, a `package.Service`.
    pub fn by(&self, name: &str, contract: &str) -> bool {
        let package = contract.rsplit_once('.').map_or("", |(package, _)| package);
        self.packages.get(name).is_some_and(|packages| packages.contains(package))
    }
}
