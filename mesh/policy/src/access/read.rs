//! Reads the rule of one RPC, or of one service, and what fields hold.

use std::{collections::HashMap, sync::Arc};

use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use super::{Access, Owner, Sensitivity};
use crate::{Error, read::extension};

const OWN: &str = "mesh.v1.access";
const DEFAULT: &str = "mesh.v1.default_access";
const SENSITIVITY: &str = "mesh.v1.sensitivity";

/// The rule of an RPC: its own, or else its service's.
pub(crate) fn access(
    pool: &DescriptorPool,
    descriptor: &MethodDescriptor,
    path: &Arc<str>,
) -> Result<Access, Error> {
    let service = descriptor.parent_service();
    let rule = extension(pool, OWN, &descriptor.options())
        .or_else(|| extension(pool, DEFAULT, &service.options()))
        .ok_or_else(|| Error::Missing {
            subject: Arc::clone(path),
            part: "option mesh.v1.access (or mesh.v1.default_access of its service)",
        })?;
    said(&rule, descriptor)
        .and_then(|access| check(&access).map(|()| access).map_err(str::to_owned))
        .map_err(|why| Error::Contradiction { subject: Arc::clone(path), why })
}

fn said(rule: &DynamicMessage, descriptor: &MethodDescriptor) -> Result<Access, String> {
    let flag = |name| rule.get_field_by_name(name).and_then(|it| it.as_bool()).unwrap_or(false);
    let owner = match (text(rule, "owner"), flag("owner_of_resource")) {
        (Some(_), true) => {
            return Err("`owner` and `owner_of_resource` are two answers to one question".into());
        }
        (Some(name), false) => Some(field(&name, descriptor)?),
        (None, true) => Some(Owner::Resource),
        (None, false) => None,
    };
    let permissions = rule.get_field_by_name("permission");
    let permissions = permissions.as_ref().and_then(|it| it.as_list()).unwrap_or_default();
    let permissions: Vec<Arc<str>> =
        permissions.iter().filter_map(Value::as_str).map(Arc::from).collect();
    if let Some(bad) = permissions.iter().find(|it| !is_permission(it)) {
        return Err(format!("`{bad}` is no permission: say something like `orders.manage`"));
    }
    Ok(Access {
        public: flag("public"),
        signed_in: flag("signed_in"),
        owner,
        permissions,
        service: flag("service"),
        operator: flag("operator"),
    })
}

/// The field of a request that holds its owner's id.
fn field(name: &str, descriptor: &MethodDescriptor) -> Result<Owner, String> {
    let input = descriptor.input();
    let Some(field) = input.get_field_by_name(name) else {
        return Err(format!("its owner is in `{name}`, a field that {} has not", input.name()));
    };
    if field.kind() != Kind::String || field.is_list() || field.containing_oneof().is_some() {
        return Err(format!("its owner is in `{name}`, which is not simply a string"));
    }
    if descriptor.is_client_streaming() {
        return Err("each request of a stream could name another owner".to_owned());
    }
    Ok(Owner::Field { name: name.into(), number: field.number() })
}

/// Says why the parts of a rule cannot all be meant.
fn check(access: &Access) -> Result<(), &'static str> {
    let users = access.owner.is_some() || !access.permissions.is_empty();
    let rules = [
        (
            *access == Access::default(),
            "its access rule names nobody: say `public: true` if everybody is meant",
        ),
        (
            access.public && *access != Access::PUBLIC,
            "`public` lets everybody in: what else its access rule says means nothing",
        ),
        (
            access.signed_in && users,
            "`signed_in` lets every user in: an owner or a permission beside it means nothing",
        ),
    ];
    rules.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, why)| Err(why))
}

/// Words of small letters with dots between them.
fn is_permission(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
    };
    text.split('.').all(word)
}

/// The fields of these messages that are not for everybody's eyes, by their full names.
pub(crate) fn sensitive(
    pool: &DescriptorPool,
    messages: impl Iterator<Item = MessageDescriptor>,
) -> Result<HashMap<Arc<str>, Sensitivity>, Error> {
    let mut found = HashMap::new();
    let Some(extension) = pool.get_extension_by_name(SENSITIVITY) else { return Ok(found) };
    for field in messages.flat_map(|it| it.fields().collect::<Vec<_>>()) {
        let options = field.options();
        if !options.has_extension(&extension) {
            continue;
        }
        let name: Arc<str> = field.full_name().into();
        let sensitivity = match options.get_extension(&extension).as_enum_number() {
            Some(1) => Sensitivity::Personal,
            Some(2) => Sensitivity::Secret,
            _ => {
                let why = "its sensitivity is not known: say PERSONAL or SECRET".to_owned();
                return Err(Error::Contradiction { subject: name, why });
            }
        };
        found.insert(name, sensitivity);
    }
    Ok(found)
}

fn text(rule: &DynamicMessage, name: &str) -> Option<String> {
    let value = rule.get_field_by_name(name)?;
    value.as_str().filter(|it| !it.is_empty()).map(str::to_owned)
}
