//! `istio/traffic.toml`: what operators turn while the shop runs, and where the world comes in. Read
//! against what the services declare: what cannot be is refused with its line.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, anyhow, bail, ensure};
use mesh_local::{Declaration, Exposure};
use serde::Deserialize;
use toml::Spanned;

/// All of it.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Where the world comes in.
    pub ingress: Ingress,
    /// Whose tokens customers show. The first is the shop itself.
    pub issuers: Vec<Issuer>,
    /// How calls to a service are spread; every service has one.
    pub routes: BTreeMap<String, Route>,
}

/// Where the world comes in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Names under which the shop is known.
    pub hosts: Vec<String>,
    /// Where Istio's ingress gateway runs.
    pub namespace: String,
    /// Who it is.
    pub service_account: String,
    /// The label of its pods.
    pub label: String,
    /// Who signs the certificate of `hosts`: a ClusterIssuer of cert-manager.
    pub cluster_issuer: String,
}

/// Somebody whose tokens are believed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// `iss`.
    pub issuer: String,
    /// Where the keys are.
    pub jwks_uri: String,
    /// `aud`, one of them; the shop itself says the first.
    pub audiences: Vec<String>,
}

/// How calls to a service are spread over its versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// Of a hundred calls, how many go to which version; a hundred in all.
    pub weights: Vec<(String, u32)>,
    /// Whether each user's calls go to one version, and the weights are shares of the users.
    pub sticky: bool,
    /// The version that calls with `x-canary: true` go to.
    pub canary: Option<String>,
    /// The version that is sent a copy of calls.
    pub mirror: Option<Mirror>,
    /// What is done to calls on purpose.
    pub fault: Option<Fault>,
}

/// Copies of calls, whose answers nobody sees.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// To whom.
    pub version: String,
    /// Of a hundred calls, so many.
    pub percent: u32,
}

/// What is done to calls on purpose.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Of a hundred calls, so many are answered UNAVAILABLE.
    #[serde(default)]
    pub abort_percent: u32,
    /// Some come late.
    pub delay: Option<Delay>,
}

/// Calls that come late.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// By so much.
    pub milliseconds: u32,
    /// Of a hundred calls, so many.
    pub percent: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    ingress: Spanned<Ingress>,
    #[serde(default)]
    issuers: Vec<Spanned<Issuer>>,
    #[serde(default)]
    services: BTreeMap<Spanned<String>, WrittenRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoute {
    #[serde(default)]
    weights: Option<Spanned<BTreeMap<Spanned<String>, u32>>>,
    sticky: Option<Spanned<bool>>,
    canary: Option<Spanned<String>>,
    mirror: Option<Spanned<Mirror>>,
    fault: Option<Spanned<Fault>>,
}

impl Traffic {
    /// Reads the text of a `traffic.toml` for these services.
    ///
    /// # Errors
    /// The text is no such file, or names a service or version that nobody declares, or its weights are
    /// not a hundred: with the file and the line.
    pub fn parse(text: &str, declarations: &[Declaration]) -> Result<Traffic> {
        let Written { ingress, issuers, services } = toml::from_str(text).map_err(|error| {
            let at = place(text, error.span().unwrap_or_default());
            anyhow!("{at}: {}", error.message())
        })?;
        ensure!(
            !ingress.get_ref().hosts.is_empty(),
            "{}: [ingress] hosts: one is needed, such as \"shop.example.com\"",
            place(text, ingress.span())
        );
        for issuer in &issuers {
            ensure!(
                !issuer.get_ref().audiences.is_empty(),
                "{}: [[issuers]] audiences: each needs one, such as \"shop\"",
                place(text, issuer.span())
            );
        }
        let plain = |declared: &Declaration| {
            let weights = declared.versions.first().map(|first| (first.clone(), 100));
            let route = Route { weights: weights.into_iter().collect(), ..Route::default() };
            (declared.service.clone(), route)
        };
        let mut routes: BTreeMap<String, Route> = declarations.iter().map(plain).collect();
        for (name, written) in services {
            let declared = declarations.iter().find(|it| it.service == *name.get_ref());
            let declared = declared.ok_or_else(|| {
                let at = place(text, name.span());
                anyhow!("{at}: there is no service `{}`", name.get_ref())
            })?;
            if let Some(route) = routes.get_mut(name.get_ref()) {
                Reader { text, declared }.route(written, route)?;
            }
        }
        let issuers = issuers.into_iter().map(Spanned::into_inner).collect();
        Ok(Traffic { ingress: ingress.into_inner(), issuers, routes })
    }

    /// Whose tokens the shop's services sign, and believe themselves.
    pub fn own_issuer(&self) -> Option<&Issuer> {
        self.issuers.first()
    }
}

impl Issuer {
    /// Whom tokens of the shop itself are for.
    pub fn audience(&self) -> &str {
        self.audiences.first().map_or("", String::as_str)
    }
}

struct Reader<'a> {
    text: &'a str,
    declared: &'a Declaration,
}

impl Reader<'_> {
    fn route(&self, written: WrittenRoute, route: &mut Route) -> Result<()> {
        if let Some(weights) = written.weights {
            route.weights = self.weights(weights)?;
        }
        if let Some(sticky) = written.sticky {
            let (at, service) = (place(self.text, sticky.span()), &self.declared.service);
            ensure!(
                self.declared.exposure != Exposure::Public || !sticky.get_ref(),
                "{at}: sticky: who calls `{service}` is not known before it has asked; it can be \
                 said of the services behind it"
            );
            route.sticky = sticky.into_inner();
        }
        if let Some(canary) = written.canary {
            self.known(canary.get_ref(), canary.span())?;
            route.canary = Some(canary.into_inner());
        }
        if let Some(mirror) = written.mirror {
            let at = mirror.span();
            let mirror = mirror.into_inner();
            self.known(&mirror.version, at.clone())?;
            self.share(mirror.percent, "mirror.percent", &at)?;
            route.mirror = Some(mirror);
        }
        if let Some(fault) = written.fault {
            let at = fault.span();
            let fault = fault.into_inner();
            self.share(fault.abort_percent, "fault.abort_percent", &at)?;
            let late = fault.delay.as_ref().map_or(0, |delay| delay.percent);
            self.share(late, "fault.delay.percent", &at)?;
            route.fault = Some(fault);
        }
        Ok(())
    }

    fn weights(
        &self,
        written: Spanned<BTreeMap<Spanned<String>, u32>>,
    ) -> Result<Vec<(String, u32)>> {
        let at = place(self.text, written.span());
        let mut weights = Vec::new();
        for (version, weight) in written.into_inner() {
            self.known(version.get_ref(), version.span())?;
            weights.push((version.into_inner(), weight));
        }
        let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let service = &self.declared.service;
        ensure!(
            sum == 100,
            "{at}: the weights of `{service}` add up to {sum}, and 100 are expected"
        );
        Ok(weights)
    }

    fn known(&self, version: &str, span: Range<usize>) -> Result<()> {
        let Declaration { service, versions, .. } = self.declared;
        if versions.iter().any(|known| known == version) {
            return Ok(());
        }
        let (at, known) = (place(self.text, span), versions.join(", "));
        bail!(
            "{at}: no pod of `{service}` has version `{version}`: services/{service}/mesh.toml \
             declares {known}"
        )
    }

    fn share(&self, percent: u32, name: &str, span: &Range<usize>) -> Result<()> {
        let at = place(self.text, span.clone());
        ensure!(percent <= 100, "{at}: {name} = {percent}: 0 to 100 are expected");
        Ok(())
    }
}

/// The file, and the line of it.
fn place(text: &str, span: Range<usize>) -> String {
    let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
    format!("{}:{line}", crate::services::TRAFFIC.0)
}

#[cfg(test)]
mod tests {
    use mesh_local::Declaration;

    use super::{Mirror, Traffic};

    const HEAD: &str = "[ingress]\nhosts = [\"a.b\"]\nnamespace = \"i\"\nservice_account = \"i\"\n\
                        label = \"i\"\ncluster_issuer = \"c\"\n\n";
    const ROUTE: &str = "[services.a]\nweights = { v1 = 95, v2 = 5 }\ncanary = \"v2\"\n\
                         mirror = { version = \"v2\", percent = 10 }\nfault = { abort_percent = 1 }\n";

    fn declarations() -> Vec<Declaration> {
        let text = "service = \"a\"\nversions = [\"v1\", \"v2\"]";
        vec![Declaration::parse(text).unwrap(), Declaration::parse("service = \"b\"").unwrap()]
    }

    #[test]
    fn a_service_that_is_not_named_has_all_calls_on_its_first_version() {
        let traffic = Traffic::parse(&format!("{HEAD}{ROUTE}"), &declarations()).unwrap();

        assert_eq!(traffic.routes["b"].weights, [("v1".to_owned(), 100)]);
        let a = &traffic.routes["a"];
        assert_eq!(a.weights, [("v1".to_owned(), 95), ("v2".to_owned(), 5)]);
        assert_eq!(a.canary.as_deref(), Some("v2"));
        assert_eq!(a.mirror, Some(Mirror { version: "v2".to_owned(), percent: 10 }));
        assert_eq!(a.fault.as_ref().unwrap().abort_percent, 1);
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_was_expected() {
        for (good, bad, place, expected) in [
            ("[services.a]", "[services.c]", "8", "there is no service `c`"),
            ("v1 = 95", "v1 = 94", "9", "add up to 99, and 100 are expected"),
            ("v2 = 5", "v3 = 5", "9", "no pod of `a` has version `v3`"),
            ("canary = \"v2\"", "canary = \"v9\"", "10", "declares v1, v2"),
            ("version = \"v2\"", "version = \"v9\"", "11", "no pod of `a`"),
            ("percent = 10", "percent = 101", "11", "0 to 100 are expected"),
            ("abort_percent = 1", "abort_percent = 200", "12", "0 to 100 are expected"),
            ("abort_percent = 1", "luck = 1", "12", "unknown field `luck`"),
        ] {
            let text = format!("{HEAD}{}", ROUTE.replacen(good, bad, 1));
            let error = Traffic::parse(&text, &declarations()).unwrap_err();
            let said = format!("{error:#}");
            let place = format!("istio/traffic.toml:{place}: ");
            assert!(said.starts_with(&place) && said.contains(expected), "{said}\nfor {bad}");
        }
    }

    #[test]
    fn users_stay_on_one_side_where_it_is_known_who_they_are() {
        let sticky = "[services.a]\nsticky = true\n";
        let parsed = |exposure: &str| {
            let text = format!("service = \"a\"\nexposure = \"{exposure}\"");
            Traffic::parse(&format!("{HEAD}{sticky}"), &[Declaration::parse(&text).unwrap()])
        };

        assert!(parsed("gateway").unwrap().routes["a"].sticky);
        let refused = parsed("public").unwrap_err().to_string();
        assert!(refused.starts_with("istio/traffic.toml:9: sticky: who calls `a`"), "{refused}");
    }

    #[test]
    fn the_first_issuer_is_the_shop_itself_and_each_says_whom_tokens_are_for() {
        let issuer = |name: &str, audiences: &str| {
            format!(
                "[[issuers]]\nissuer = \"{name}\"\njwks_uri = \"u\"\naudiences = [{audiences}]\n"
            )
        };
        let parsed = |more: &str| Traffic::parse(&format!("{HEAD}{more}"), &declarations());

        let both = issuer("a", "\"shop\", \"partners\"") + &issuer("b", "\"shop\"");
        let traffic = parsed(&both).unwrap();
        let own = traffic.own_issuer().unwrap();
        assert_eq!((&*own.issuer, own.audience()), ("a", "shop"));

        let refused = parsed(&issuer("a", "")).unwrap_err().to_string();
        let expected = "istio/traffic.toml:8: [[issuers]] audiences: each needs one";
        assert!(refused.starts_with(expected), "{refused}");
    }
}
