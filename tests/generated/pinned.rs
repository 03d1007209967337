//! Who may call what, and which fields are not for everybody's eyes, as it was agreed on: `access.txt`,
//! which people write and nothing makes. What the contracts say is compared with it; so an option that
//! disappears from a contract takes no expectation along.

use std::{collections::BTreeMap, fs};

use mesh_policy::{Access, Error, Owner, Table};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ExtensionDescriptor, Value};

use super::call::{POOL, ours};

const FILE: &str = "tests/generated/access.txt";

/// What the file says, by RPC and by field.
pub struct Pinned {
    said: BTreeMap<String, String>,
}

impl Pinned {
    pub fn read() -> Self {
        let (text, mut said) = (fs::read_to_string(FILE).unwrap(), BTreeMap::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, words) = line.split_once(": ").unwrap_or_else(|| panic!("{FILE}: {line}"));
            let before = said.insert(name.to_owned(), words.to_owned());
            assert_eq!(before, None, "{FILE} says it twice: {name}");
        }
        Self { said }
    }

    /// The rule of an RPC, from its words.
    pub fn rule(&self, path: &str) -> Access {
        let words = self.said.get(path).unwrap_or_else(|| panic!("{FILE} has no line of {path}"));
        let mut access = Access::default();
        for part in words.split(", ") {
            let quoted = part.split('`').nth(1);
            match (part, quoted) {
                ("everybody", _) => access.public = true,
                ("every user", _) => access.signed_in = true,
                ("services that declare it", _) => access.service = true,
                ("operators", _) => access.operator = true,
                ("the user whose it is", _) => access.owner = Some(Owner::Resource),
                (_, Some(name)) if part == format!("the user in `{name}`") => {
                    // Which number the field has is the contract's.
                    access.owner = Some(Owner::Field { name: name.into(), number: 0 });
                }
                (_, Some(name)) if part == format!("users with `{name}`") => {
                    access.permissions.push(name.into());
                }
                _ => panic!("{FILE}: nobody knows who \"{part}\" is, of {path}"),
            }
        }
        access
    }

    /// What these contracts say otherwise than the file: a message for each RPC and field.
    fn differences(&self, sets: &[&[u8]]) -> Result<Vec<String>, Error> {
        let now = said(sets)?;
        let whoever = format!("whoever means it changes {FILE}");
        let mut told = Vec::new();
        for (name, words) in &now {
            match self.said.get(name) {
                Some(pinned) if pinned == words => {}
                Some(pinned) => told.push(format!(
                    "{name} was for: {pinned}; {whoever} to the line\n  {name}: {words}"
                )),
                None => {
                    told.push(format!("{name} is new; {whoever}, with the line\n  {name}: {words}"))
                }
            }
        }
        let gone = self.said.iter().filter(|(name, _)| !now.contains_key(*name));
        told.extend(gone.map(|(name, words)| {
            format!("{name} was for: {words}; now nothing is said of it; {whoever}")
        }));
        Ok(told)
    }

    /// Asserts that the contracts say what the file says.
    pub fn holds(&self) {
        let told = self.differences(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
        assert!(told.is_empty(), "\n{}", told.join("\n"));
    }
}

/// Every RPC's rule and every field's sensitivity, in words.
fn said(sets: &[&[u8]]) -> Result<BTreeMap<String, String>, Error> {
    let table = Table::from_descriptors(sets)?;
    let rules = table.methods().filter(|it| ours(&it.path));
    let mut said: BTreeMap<_, _> =
        rules.map(|it| (it.path.to_string(), it.access.to_string())).collect();
    let fields = POOL.all_messages().flat_map(|it| it.fields().collect::<Vec<_>>());
    said.extend(fields.filter_map(|field| {
        let sensitivity = table.sensitivity(field.full_name())?;
        Some((field.full_name().to_owned(), sensitivity.as_str().to_owned()))
    }));
    Ok(said)
}

#[test]
fn rules_and_sensitive_fields_are_those_that_were_agreed_on() {
    Pinned::read().holds();
}

#[test]
fn whatever_is_taken_out_of_a_rule_or_off_a_field_is_noticed() {
    let pinned = Pinned::read();
    let bare = [shop::DESCRIPTORS, mesh_proto::DESCRIPTORS].map(without_comments);
    let encoded = bare.each_ref().map(|set| set.encode_to_vec());
    assert_eq!(pinned.differences(&encoded.each_ref().map(Vec::as_slice)).unwrap(), [""; 0]);
    let (mut unnoticed, mut taken) = (Vec::new(), 0);
    for at in [0, 1] {
        for n in 0.. {
            let mut set = bare[at].clone();
            let Some((name, what)) = take(&mut set, n) else { break };
            taken += 1;
            let mut sets = encoded.clone();
            sets[at] = set.encode_to_vec();
            let told = match pinned.differences(&sets.each_ref().map(Vec::as_slice)) {
                Ok(told) => told.join("\n"),
                // What is left of the rule is none.
                Err(error) => error.to_string(),
            };
            if !told.contains(&name) {
                unnoticed.push(format!("{name} without {what}: {told:?}"));
            }
        }
    }
    println!("{taken} parts of rules and marks of fields, each taken out");
    assert!(taken > pinned.said.len(), "{taken}");
    assert!(unnoticed.is_empty(), "\n{}", unnoticed.join("\n"));
}

/// A descriptor set as a message, with its options, and quicker to read.
fn without_comments(set: &[u8]) -> DynamicMessage {
    let kind = POOL.get_message_by_name("google.protobuf.FileDescriptorSet").unwrap();
    let mut set = DynamicMessage::decode(kind, set).unwrap();
    for file in all(&mut set, "file") {
        file.clear_field_by_name("source_code_info");
    }
    set
}

/// Takes out the `n`th of all rules, parts of rules and marks of fields. Returns of what, and which; none
/// if there are not so many.
fn take(set: &mut DynamicMessage, mut n: usize) -> Option<(String, String)> {
    let option = |name: &str| POOL.get_extension_by_name(&format!("mesh.v1.{name}")).unwrap();
    let [access, default] = ["access", "default_access"].map(option);
    for file in all(set, "file") {
        let package = text(file, "package");
        if !ours(&package) {
            continue;
        }
        for service in all(file, "service") {
            let name = format!("{package}.{}", text(service, "name"));
            if let Some(what) = strip(service, &default, &mut n) {
                return Some((name, what));
            }
            for method in all(service, "method") {
                if let Some(what) = strip(method, &access, &mut n) {
                    return Some((format!("{name}/{}", text(method, "name")), what));
                }
            }
        }
        for message in all(file, "message_type") {
            if let Some(taken) = unmark(message, &package, &mut n) {
                return Some(taken);
            }
        }
    }
    None
}

/// The same, of a message and those in it.
fn unmark(message: &mut DynamicMessage, within: &str, n: &mut usize) -> Option<(String, String)> {
    let sensitivity = POOL.get_extension_by_name("mesh.v1.sensitivity").unwrap();
    let name = format!("{within}.{}", text(message, "name"));
    for field in all(message, "field") {
        if let Some(what) = strip(field, &sensitivity, n) {
            return Some((format!("{name}.{}", text(field, "name")), what));
        }
    }
    all(message, "nested_type").into_iter().find_map(|inner| unmark(inner, &name, n))
}

/// The same, of one option: all of it, then each part.
fn strip(
    holder: &mut DynamicMessage,
    option: &ExtensionDescriptor,
    n: &mut usize,
) -> Option<String> {
    let mut is_it = || n.checked_sub(1).map(|left| *n = left).is_none();
    if !holder.has_field_by_name("options") {
        return None;
    }
    let options = holder.get_field_by_name_mut("options")?.as_message_mut()?;
    if !options.has_extension(option) {
        return None;
    }
    if is_it() {
        options.clear_extension(option);
        return Some(option.name().to_owned());
    }
    let rule = options.get_extension_mut(option).as_message_mut()?;
    let parts: Vec<_> = rule.fields().map(|(field, _)| field).collect();
    for part in parts {
        if let Value::List(several) = rule.get_field_mut(&part) {
            for at in 0..several.len() {
                if is_it() {
                    return Some(several.remove(at).to_string());
                }
            }
        } else if is_it() {
            rule.clear_field(&part);
            return Some(part.name().to_owned());
        }
    }
    None
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

/// The messages in a list.
fn all<'a>(message: &'a mut DynamicMessage, field: &str) -> Vec<&'a mut DynamicMessage> {
    let several = message.get_field_by_name_mut(field).unwrap().as_list_mut().unwrap();
    several.iter_mut().map(|it| it.as_message_mut().unwrap()).collect()
}
