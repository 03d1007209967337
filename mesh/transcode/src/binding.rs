//! One RPC at one path: what of a request comes from where.

use std::fmt;

use http::Method;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MethodDescriptor,
    Value,
};

use crate::{fields::FieldPath, template::Template};

const OPTION: &str = "google.api.http";

/// An RPC that can be asked for by HTTP, in one of the ways that its contract names.
#[derive(Clone, Debug)]
pub struct Binding {
    rpc: MethodDescriptor,
    method: Method,
    template: Template,
    pub(crate) variables: Vec<FieldPath>,
    pub(crate) body: Body,
    pub(crate) response_body: Option<FieldDescriptor>,
}

/// What of the request is in the body.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Nothing,
    Everything,
    Field(FieldPath),
}

/// Why a contract's binding cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rpc}: `{binding}`: {why}")]
pub struct Unsound {
    rpc: String,
    binding: String,
    why: String,
}

impl Binding {
    /// The RPC.
    pub fn rpc(&self) -> &MethodDescriptor {
        &self.rpc
    }

    /// The HTTP method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where it is.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Whether a request may have a body.
    pub fn takes_body(&self) -> bool {
        !matches!(self.body, Body::Nothing)
    }

    pub(crate) fn unsound(&self, why: impl fmt::Display) -> Unsound {
        let binding = format!("{} {}", self.method, self.template);
        Unsound { rpc: self.rpc.full_name().to_owned(), binding, why: why.to_string() }
    }

    /// All ways in which `rpc` can be asked for.
    pub(crate) fn all(pool: &DescriptorPool, rpc: &MethodDescriptor) -> Result<Vec<Self>, Unsound> {
        let Some(option) = pool.get_extension_by_name(OPTION) else { return Ok(Vec::new()) };
        let Some(rule) = rule(&option, rpc) else { return Ok(Vec::new()) };
        let mut bindings = vec![Self::one(rpc, &rule)?];
        for more in messages(&rule, "additional_bindings") {
            let binding = Self::one(rpc, &more)?;
            if !messages(&more, "additional_bindings").is_empty() {
                return Err(binding.unsound("an additional binding cannot have more of them"));
            }
            bindings.push(binding);
        }
        Ok(bindings)
    }

    fn one(rpc: &MethodDescriptor, rule: &DynamicMessage) -> Result<Self, Unsound> {
        let (method, path) = pattern(rule).map_err(|why| Unsound {
            rpc: rpc.full_name().to_owned(),
            binding: String::new(),
            why: why.to_owned(),
        })?;
        let template: Template = path.parse().map_err(|error| Unsound {
            rpc: rpc.full_name().to_owned(),
            binding: format!("{method} {path}"),
            why: format!("{error}"),
        })?;
        let mut binding = Self {
            rpc: rpc.clone(),
            method,
            template,
            variables: Vec::new(),
            body: Body::Nothing,
            response_body: None,
        };
        if rpc.is_client_streaming() {
            return Err(binding.unsound("a stream of requests cannot be asked for by HTTP"));
        }
        binding.variables = binding.read_variables()?;
        binding.body = binding.read_body(&text(rule, "body"))?;
        binding.response_body = binding.read_response_body(&text(rule, "response_body"))?;
        Ok(binding)
    }

    fn read_variables(&self) -> Result<Vec<FieldPath>, Unsound> {
        let read = |field: &String| {
            let path = FieldPath::find(&self.rpc.input(), field)
                .map_err(|why| self.unsound(format!("`{field}` {why}")))?;
            let last = path.last();
            if last.is_list() || last.is_map() || matches!(last.kind(), Kind::Message(_)) {
                return Err(self.unsound(format!("`{field}` must be a single, simple value")));
            }
            Ok(path)
        };
        self.template.variables().iter().map(|variable| read(&variable.field)).collect()
    }

    fn read_body(&self, body: &str) -> Result<Body, Unsound> {
        if !body.is_empty() && matches!(self.method, Method::GET | Method::HEAD) {
            return Err(self.unsound("a question has no body"));
        }
        match body {
            "" => Ok(Body::Nothing),
            "*" => Ok(Body::Everything),
            field if field.contains('.') => Err(self.unsound("`body` must be a field of its own")),
            field => match FieldPath::find(&self.rpc.input(), field) {
                Ok(path) => Ok(Body::Field(path)),
                Err(why) => Err(self.unsound(format!("body `{field}` {why}"))),
            },
        }
    }

    fn read_response_body(&self, field: &str) -> Result<Option<FieldDescriptor>, Unsound> {
        if field.is_empty() {
            return Ok(None);
        }
        let found = self.rpc.output().get_field_by_name(field);
        let why = || self.unsound(format!("response_body `{field}` must be a field of the answer"));
        found.map(Some).ok_or_else(why)
    }
}

fn rule(option: &ExtensionDescriptor, rpc: &MethodDescriptor) -> Option<DynamicMessage> {
    let options = rpc.options();
    if !options.has_extension(option) {
        return None;
    }
    match options.get_extension(option).into_owned() {
        Value::Message(rule) => Some(rule),
        _ => None,
    }
}

fn pattern(rule: &DynamicMessage) -> Result<(Method, String), &'static str> {
    let simple = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    for (name, method) in simple {
        if rule.has_field_by_name(name) {
            return Ok((method, text(rule, name)));
        }
    }
    let custom = messages(rule, "custom").pop().ok_or("a binding has a pattern")?;
    let method = Method::from_bytes(text(&custom, "kind").as_bytes());
    match method {
        Ok(method) if method.as_str() != "*" => Ok((method, text(&custom, "path"))),
        _ => Err("a custom pattern names one HTTP method"),
    }
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What is in a field that has a message, or a list of them.
fn messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    if !message.has_field_by_name(field) {
        return Vec::new();
    }
    match message.get_field_by_name(field).map(|value| value.into_owned()) {
        Some(Value::Message(one)) => vec![one],
        Some(Value::List(all)) => {
            all.iter().filter_map(|value| value.as_message().cloned()).collect()
        }
        _ => Vec::new(),
    }
}
