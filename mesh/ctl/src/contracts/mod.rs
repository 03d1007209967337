//! What consumers rely on, as their tests recorded it, held against contracts: which consumer would a
//! change break?

mod compare;
mod fields;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use prost_reflect::DescriptorPool;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use compare::{Finding, Report, compare};
pub use fields::describe;

/// Where the recordings lie, from the root of the project: a file for each consumer.
pub const RECORDINGS: &str = "tests/consumers/recordings";

/// Paths of fields, and how each is on the wire: `1[].3 string`, the numbers of its path and its type.
pub type Fields = BTreeMap<String, String>;

/// What one consumer relies on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The service that calls and hears.
    pub consumer: String,
    /// By `package.Service/Method`.
    pub calls: BTreeMap<String, Call>,
    /// By the full name of the event: which of its fields are read.
    pub events: BTreeMap<String, Fields>,
    /// How it was found, to be asked of a provider again.
    pub stories: Vec<Story>,
}

/// What a consumer relies on in one RPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What its requests say.
    pub sends: Fields,
    /// What of the answers makes a difference to it.
    pub reads: Fields,
    /// The refusals that it tells from others, and what it reads of their metadata.
    pub reasons: BTreeMap<String, Vec<String>>,
}

/// What a consumer once did, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// What happens, which also says what has to be there before.
    pub name: String,
    /// What was asked and heard, in order.
    pub steps: Vec<Step>,
}

/// A call or an event, and what of it was relied on. A value that begins with `$` stands for another one
/// each time: `$any` for whatever is there, other names for the same value everywhere in a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// A call that was answered.
    Answered {
        /// `package.Service/Method`
        rpc: String,
        /// What was asked, in the contract's JSON.
        request: Value,
        /// The fields that were relied on.
        fields: BTreeMap<String, Value>,
    },
    /// A call that was refused.
    Refused {
        /// `package.Service/Method`
        rpc: String,
        /// What was asked, in the contract's JSON.
        request: Value,
        /// As gRPC spells it: `NOT_FOUND`.
        code: String,
        /// Why.
        reason: String,
        /// What was relied on beside the reason.
        metadata: BTreeMap<String, String>,
    },
    /// An event that was heard.
    Heard {
        /// Its full name.
        event: String,
        /// The fields that were relied on.
        fields: BTreeMap<String, Value>,
    },
}

/// Reads the recordings below `root`, by consumer.
///
/// # Errors
/// There are none, or one cannot be read.
pub fn recordings(root: &Path) -> Result<Vec<Recording>> {
    let folder = root.join(RECORDINGS);
    let entries = fs::read_dir(&folder).with_context(|| {
        format!("no recordings of consumers in {}: run it in the checkout", folder.display())
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&file)?;
            let read = serde_json::from_str(&text);
            found.push(read.with_context(|| format!("{} is no recording", file.display()))?);
        }
    }
    ensure!(!found.is_empty(), "{} has no recordings", folder.display());
    found.sort_by(|a: &Recording, b: &Recording| a.consumer.cmp(&b.consumer));
    Ok(found)
}

/// The contracts of a checkout as they stand in its `proto/` now, comments included, whether or not
/// the services still compile with them.
///
/// # Errors
/// There is no `proto/`, or it is wrong, with the place.
pub fn of_checkout(root: &Path) -> Result<DescriptorPool> {
    let proto = root.join("proto");
    let mut files = Vec::new();
    let shop = proto.join("shop");
    collect(&shop, &mut files)
        .with_context(|| format!("cannot read {}: say --against FILE", shop.display()))?;
    files.sort();
    let mut compiler = protox::Compiler::new([&proto])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let set = compiler.encode_file_descriptor_set();
    DescriptorPool::decode(&*set).context("the contracts in proto/ cannot be read")
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
