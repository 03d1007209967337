//! What was delivered to an overlay: `delivered.toml` beside its kustomization says which image of each
//! service runs, and which is tried on how many of a hundred calls. Whoever operates the cluster by git
//! commits it, and what is made of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_local::Declaration;
use serde::{Deserialize, Serialize};

use crate::generate::k8s::candidate;
use crate::generate::{self, Drift, Page};

/// Characters of a digest that tell images apart in names.
const SHORT: usize = 8;

/// Images by the name of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// Of services, and of `meshctl`.
    #[serde(default)]
    pub images: BTreeMap<String, Running>,
}

/// What runs of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// The image that runs; one of this machine if nothing was delivered.
    pub image: Option<Image>,
    /// The image that is tried beside it.
    pub candidate: Option<Candidate>,
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The image.
    pub image: Image,
    /// Of a hundred calls, so many go to it, beside those with `x-canary: true`; none at all if it is 0.
    pub weight: u32,
}

/// An image that cannot become another: `registry.example.com/orders@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Image {
    /// Registry and name.
    pub name: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
}

/// What is to become of a service's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is tried on so many of a hundred calls.
    Try(Image, u32),
    /// What is tried is what runs; calls go on as they do.
    Promote,
    /// Nothing is tried any more.
    Withdraw,
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Image, String> {
        let wrong = || {
            format!(
                "`{text}` is no image that stays what it is: name it by its digest, \
                 `registry.example.com/orders@sha256:…`"
            )
        };
        let (name, digest) = text.split_once('@').ok_or_else(wrong)?;
        let hex = digest.strip_prefix("sha256:").ok_or_else(wrong)?;
        let is_hex =
            hex.len() == 64 && hex.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "./:_-".contains(c);
        if !is_hex || name.is_empty() || !name.chars().all(is_name) {
            return Err(wrong());
        }
        Ok(Image { name: name.to_owned(), digest: digest.to_owned() })
    }
}

impl TryFrom<String> for Image {
    type Error = String;

    fn try_from(text: String) -> Result<Image, String> {
        text.parse()
    }
}

impl From<Image> for String {
    fn from(image: Image) -> String {
        image.to_string()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

impl Image {
    /// What tells it apart in the names of objects.
    pub fn short(&self) -> &str {
        let hex = self.digest.trim_start_matches("sha256:");
        hex.get(..SHORT).unwrap_or(hex)
    }
}

impl Delivered {
    /// Reads what an overlay of the checkout at `root` says.
    ///
    /// # Errors
    /// There is no such overlay, nothing is delivered to it this way, or it says what cannot be.
    pub fn read(root: &Path, overlay: &str) -> Result<Delivered> {
        let file = file(overlay);
        let text = fs::read_to_string(root.join(&file)).with_context(|| {
            format!("{file}: images are delivered to overlays that have this file")
        })?;
        Delivered::parse(&text).context(file)
    }

    fn parse(text: &str) -> Result<Delivered> {
        let delivered: Delivered = toml::from_str(text)?;
        for (service, running) in &delivered.images {
            if let Some(Candidate { weight, .. }) =
                running.candidate.as_ref().filter(|it| it.weight > 100)
            {
                bail!("{service}: {weight} of a hundred calls cannot go to its candidate");
            }
        }
        Ok(delivered)
    }

    /// Takes a step with a service's image.
    ///
    /// # Errors
    /// Another image is tried already, or none is that could be promoted or withdrawn.
    pub fn step(&mut self, service: &str, step: Step) -> Result<()> {
        let running = self.images.entry(service.to_owned()).or_default();
        let tried = running.candidate.clone();
        match step {
            Step::Try(image, weight) => {
                ensure!(weight <= 100, "{weight} of a hundred calls cannot go to a candidate");
                let other = tried.filter(|it| it.image != image);
                if let Some(other) = other {
                    bail!("of {service} {} is tried: promote or withdraw it first", other.image);
                }
                running.candidate = Some(Candidate { image, weight });
            }
            Step::Promote => {
                let tried = tried.with_context(|| format!("nothing of {service} is tried"))?;
                running.image = Some(tried.image);
            }
            Step::Withdraw => {
                ensure!(tried.is_some(), "nothing of {service} is tried");
                running.candidate = None;
            }
        }
        Ok(())
    }

    /// As the file says it.
    pub fn text(&self) -> String {
        let mut text =
            "# Which image of each service runs, and which is tried on how many of a hundred \
                        calls. Written by\n# `cargo mesh deliver`, which makes delivered/ of it.\n"
                .to_owned();
        for (service, Running { image, candidate }) in &self.images {
            text += &format!("\n[images.{service}]\n");
            if let Some(image) = image {
                text += &format!("image = \"{image}\"\n");
            }
            if let Some(Candidate { image, weight }) = candidate {
                text += &format!("candidate = {{ image = \"{image}\", weight = {weight} }}\n");
            }
        }
        text
    }

    /// Everything of an overlay that says it.
    ///
    /// # Errors
    /// It names what there is not.
    pub fn pages(&self, overlay: &str, declarations: &[Declaration]) -> Result<Vec<Page>> {
        let file = file(overlay);
        let mut pages = candidate::pages(declarations, &folder(overlay), &file, self)?;
        pages.push(Page { path: file, text: self.text() });
        Ok(pages)
    }
}

/// Makes an overlay of the checkout at `root` what `pages` are; returns what was not so.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(root: &Path, overlay: &str, pages: &[Page]) -> Result<Vec<Drift>> {
    generate::write_into(root, pages, &[&folder(overlay)])
}

/// How an overlay of the checkout at `root` differs from `pages`.
///
/// # Errors
/// A file cannot be read.
pub fn drift(root: &Path, overlay: &str, pages: &[Page]) -> Result<Vec<Drift>> {
    generate::drift_in(root, pages, &[&folder(overlay)])
}

fn file(overlay: &str) -> String {
    format!("k8s/overlays/{overlay}/delivered.toml")
}

fn folder(overlay: &str) -> String {
    format!("k8s/overlays/{overlay}/delivered")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:00000000111111112222222233333333444444445555555566666666777777ff";

    fn image(name: &str) -> Image {
        format!("ghcr.io/me/{name}@{DIGEST}").parse().unwrap()
    }

    #[test]
    fn an_image_is_named_by_what_it_is() {
        assert_eq!(image("orders").short(), "00000000");
        assert_eq!(image("orders").to_string(), format!("ghcr.io/me/orders@{DIGEST}"));
        for text in ["", "orders", "orders:v2", "orders@sha256:12", &format!("@{DIGEST}"), "a b@c"]
        {
            assert!(text.parse::<Image>().unwrap_err().contains("by its digest"), "{text}");
        }
        let upper = format!("orders@{}", DIGEST.replace('f', "F"));
        assert!(upper.parse::<Image>().is_err(), "it would be another name of the same");
    }

    #[test]
    fn what_is_delivered_is_read_as_it_is_written() {
        let mut delivered = Delivered::default();
        delivered.step("orders", Step::Try(image("orders"), 5)).unwrap();
        assert_eq!(Delivered::parse(&delivered.text()).unwrap(), delivered);
        delivered.step("orders", Step::Promote).unwrap();
        assert_eq!(Delivered::parse(&delivered.text()).unwrap(), delivered);
        delivered.step("orders", Step::Withdraw).unwrap();
        delivered.step("users", Step::Try(image("users"), 100)).unwrap();
        assert_eq!(Delivered::parse(&delivered.text()).unwrap(), delivered);

        let wrong = |text: &str| format!("{:#}", Delivered::parse(text).unwrap_err());
        let heavy = delivered.text().replace("= 100", "= 101");
        assert!(wrong(&heavy).starts_with("users: 101 of a hundred calls"), "{}", wrong(&heavy));
        let tagged = "[images.orders]\nimage = \"orders:v1\"";
        assert!(wrong(tagged).contains("by its digest"), "{}", wrong(tagged));
        assert!(wrong("[images.orders]\nimages = 1").contains("line 2"));
    }
}
