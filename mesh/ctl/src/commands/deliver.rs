//! `deliver`: which image of a service an overlay runs, and which it tries.

use std::process::ExitCode;

use anyhow::Result;
use meshctl::delivery::{self, Delivered, Image, Step};
use meshctl::generate::Drift;
use meshctl::services;

use crate::output;
use crate::project::Project;

/// What to do with which image.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::DELIVER)]
pub struct Args {
    /// The service; `meshctl` is delivered as well, and not tried.
    service: String,
    /// Try this image beside the one that runs, by its digest.
    #[arg(long, value_name = "NAME@sha256:DIGEST", requires = "weight", value_parser = image)]
    image: Option<Image>,
    /// Of a hundred calls, so many go to what is tried, beside those with `x-canary: true`; with 0 none at all.
    #[arg(long, requires = "image", value_parser = clap::value_parser!(u32).range(0..=100))]
    weight: Option<u32>,
    /// What is tried is what runs from now on; calls still go as they did.
    #[arg(long, conflicts_with_all = ["image", "withdraw"])]
    promote: bool,
    /// Nothing is tried any more.
    #[arg(long, conflicts_with = "image")]
    withdraw: bool,
    /// The overlay.
    #[arg(long, default_value = "production")]
    overlay: String,
}

fn image(text: &str) -> Result<Image, String> {
    text.parse()
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let Args { service, image, weight, promote, withdraw, overlay } = args;
    let root = Project::find()?.root;
    let mut delivered = Delivered::read(&root, &overlay)?;
    match (image.zip(weight), promote, withdraw) {
        (Some((image, weight)), ..) => delivered.step(&service, Step::Try(image, weight))?,
        (_, true, _) => delivered.step(&service, Step::Promote)?,
        (_, _, true) => delivered.step(&service, Step::Withdraw)?,
        _ => {}
    }
    let pages = delivered.pages(&overlay, &services::declarations()?)?;
    let mut text = String::new();
    for drift in delivery::write(&root, &overlay, &pages)? {
        let what = if matches!(drift, Drift::Stray(_)) { "removed" } else { "written" };
        text += &format!("  {} is {what}\n", drift.path());
    }
    let running = delivered.images.get(&service).cloned().unwrap_or_default();
    let runs =
        running.image.map_or_else(|| "an image of this machine".to_owned(), |it| it.to_string());
    text += &format!("  {service}: {runs}");
    if let Some(tried) = running.candidate {
        text += &format!(", and {} on {} of a hundred calls", tried.image, tried.weight);
    }
    output::put(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
