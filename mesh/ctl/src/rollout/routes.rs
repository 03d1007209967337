//! The objects that spread calls over an old and a new version of a service: what the generator makes of
//! `istio/traffic.toml` with other weights.

use anyhow::{Context as _, Result, bail, ensure};
use mesh_local::Declaration;
use serde_json::Value;

use crate::generate::cluster::{Route, Traffic};
use crate::generate::istio;
use crate::services;

/// How calls to a service are spread while a new version of it takes over.
#[derive(Clone, Debug)]
pub struct Routes {
    service: String,
    old: String,
    new: String,
    declared: Vec<Declaration>,
    traffic: Traffic,
}

impl Routes {
    /// From the version that takes all calls, as the checkout has it, to `new`: by default the one after
    /// the newest that is declared.
    ///
    /// # Errors
    /// There is no such service, its calls are spread over several versions already, or some of them go
    /// to the new one.
    pub fn of_checkout(service: &str, new: Option<&str>) -> Result<Routes> {
        services::check(service)?;
        let declared = services::declarations()?;
        let traffic = Traffic::parse(services::TRAFFIC.1, &declared)?;
        Routes::of(service, new, declared, traffic)
    }

    fn of(
        service: &str,
        new: Option<&str>,
        declared: Vec<Declaration>,
        traffic: Traffic,
    ) -> Result<Routes> {
        let own = declared.iter().find(|it| it.service == service);
        let versions = own.map(|it| it.versions.clone()).unwrap_or_default();
        let new = new.map_or_else(|| next(&versions), str::to_owned);
        services::check_version(&new)?;
        let route = traffic.routes.get(service).context("there is no such service")?;
        let taking: Vec<_> = route.weights.iter().filter(|(_, weight)| *weight > 0).collect();
        let file = services::TRAFFIC.0;
        ensure!(
            !is_sent_to(route, &new),
            "{service} {new} takes calls already, by {file}: name another with --version"
        );
        let [(old, _)] = &taking[..] else {
            bail!("calls to {service} are spread over several versions already, by {file}");
        };
        Ok(Routes { service: service.to_owned(), old: old.clone(), new, declared, traffic })
    }

    /// Whose calls they are.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The version that takes all calls before.
    pub fn old_version(&self) -> &str {
        &self.old
    }

    /// The version that takes over.
    pub fn new_version(&self) -> &str {
        &self.new
    }

    /// What the service declares.
    ///
    /// # Errors
    /// Never: it was found before.
    pub fn declared(&self) -> Result<&Declaration> {
        let own = self.declared.iter().find(|it| it.service == self.service);
        own.with_context(|| format!("there is no service `{}`", self.service))
    }

    /// The objects by which the new version takes this share of a hundred calls.
    ///
    /// # Errors
    /// The generator refuses them.
    pub fn at(&self, percent: u32) -> Result<Vec<Value>> {
        let (mut declared, mut traffic) = (self.declared.clone(), self.traffic.clone());
        let own = declared.iter_mut().find(|it| it.service == self.service);
        let versions = own.map(|own| &mut own.versions);
        if let Some(versions) = versions.filter(|it| !it.contains(&self.new)) {
            versions.push(self.new.clone());
        }
        if let Some(route) = traffic.routes.get_mut(&self.service) {
            let old = 100_u32.saturating_sub(percent);
            route.weights = vec![(self.old.clone(), old), (self.new.clone(), percent)];
        }
        istio::spread_with(&declared, traffic, &self.service)
    }

    /// The objects as they are shipped.
    ///
    /// # Errors
    /// The generator refuses them.
    pub fn shipped(&self) -> Result<Vec<Value>> {
        istio::spread_with(&self.declared, self.traffic.clone(), &self.service)
    }
}

fn is_sent_to(route: &Route, version: &str) -> bool {
    route.weights.iter().any(|(name, weight)| name == version && *weight > 0)
        || route.canary.as_deref() == Some(version)
        || route.mirror.as_ref().is_some_and(|mirror| mirror.version == version)
}

/// `v3` after `v1` and `v2`.
fn next(versions: &[String]) -> String {
    let numbers = versions.iter().filter_map(|it| it.strip_prefix('v')?.parse::<u32>().ok());
    format!("v{}", numbers.max().unwrap_or(1).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(more: &str, new: Option<&str>) -> Result<Routes> {
        let mut declared = services::declarations().unwrap();
        let catalog = declared.iter_mut().find(|it| it.service == "catalog").unwrap();
        catalog.versions = vec!["v1".to_owned(), "v2".to_owned()];
        let text = format!("{}\n[services.catalog]\n{more}\n", services::TRAFFIC.1);
        let traffic = Traffic::parse(&text, &declared).unwrap();
        Routes::of("catalog", new, declared, traffic)
    }

    #[test]
    fn the_new_version_has_its_share_and_the_old_one_the_rest() {
        let routes = routes("", None).unwrap();
        assert_eq!((routes.old_version(), routes.new_version()), ("v1", "v3"));

        let objects = routes.at(5).unwrap();
        let [destination, spread] = &objects[..] else { panic!("{objects:?}") };
        assert_eq!(destination["kind"], "DestinationRule");
        let subsets = destination["spec"]["subsets"].as_array().unwrap().iter();
        assert_eq!(subsets.map(|it| &it["name"]).collect::<Vec<_>>(), ["v1", "v2", "v3"]);
        let targets = spread["spec"]["http"][0]["route"].as_array().unwrap().iter();
        let targets: Vec<_> =
            targets.map(|it| (&it["destination"]["subset"], it["weight"].as_u64())).collect();
        assert_eq!(targets, [(&"v1".into(), Some(95)), (&"v3".into(), Some(5))]);

        let ends = |percent| {
            let objects = routes.at(percent).unwrap();
            objects[1]["spec"]["http"][0]["route"].as_array().unwrap().len()
        };
        assert_eq!((ends(0), ends(100)), (1, 1));
    }

    #[test]
    fn what_is_shipped_knows_nothing_of_it() {
        let routes = Routes::of_checkout("orders", Some("v9")).unwrap();

        let shipped = serde_json::to_string(&routes.shipped().unwrap()).unwrap();

        assert!(!shipped.contains("v9") && shipped.contains("\"attempts\":0"), "{shipped}");
        assert!(serde_json::to_string(&routes.at(0).unwrap()).unwrap().contains("v9"));
    }

    #[test]
    fn a_version_that_takes_calls_already_is_refused() {
        for (more, new, why) in [
            ("", Some("v1"), "catalog v1 takes calls already"),
            ("weights = { v1 = 95, v2 = 5 }", Some("v2"), "catalog v2 takes calls already"),
            ("weights = { v1 = 95, v2 = 5 }", None, "spread over several versions"),
            ("canary = \"v2\"", Some("v2"), "takes calls already"),
            ("mirror = { version = \"v2\", percent = 1 }", Some("v2"), "takes calls already"),
            ("", Some("V 2"), "small letters and digits"),
        ] {
            let said = format!("{:#}", routes(more, new).unwrap_err());
            assert!(said.contains(why), "{more} {new:?}: {said}");
        }
        assert!(Routes::of_checkout("nobody", None).is_err());
        assert_eq!(routes("", Some("v2")).unwrap().new_version(), "v2", "it has no calls");
    }
}
