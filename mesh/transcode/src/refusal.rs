//! Why a request gets no further than here.

use http::{Method, StatusCode};
use mesh_rpc::{Code, ErrorDetails, Fault, Invalid, Violation};
use tonic::Status;

use crate::status::http_code;

/// Domain of the reasons.
const DOMAIN: &str = "transcode";

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No template fits the path.
    #[error("there is nothing at this path")]
    NotFound,
    /// Templates fit the path, with these methods.
    #[error("this path can be asked with {}", join(.0))]
    MethodNotAllowed(Vec<Method>),
    /// The body has a type that nobody reads.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// The request is not what it must be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Refusal {
    /// One field is to blame.
    pub(crate) fn field(
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) -> Self {
        let (field, description) = (field.into(), description.into());
        Self::Invalid(Invalid(vec![Violation { field, reason, description }]))
    }

    /// The answer's HTTP status.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) => http_code(Code::InvalidArgument),
        }
    }

    /// The value of the header `allow`, which goes with METHOD_NOT_ALLOWED.
    pub fn allow(&self) -> Option<String> {
        match self {
            Self::MethodNotAllowed(methods) => Some(join(methods)),
            _ => None,
        }
    }

    /// The answer's body.
    pub fn status(&self) -> Status {
        mesh_rpc::status(DOMAIN, self)
    }
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::MethodNotAllowed(_) => Code::Unimplemented,
            Self::UnsupportedMediaType | Self::Invalid(_) => Code::InvalidArgument,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "PATH_UNKNOWN",
            Self::MethodNotAllowed(_) => "METHOD_NOT_ALLOWED",
            Self::UnsupportedMediaType => "MEDIA_TYPE_UNSUPPORTED",
            Self::Invalid(invalid) => invalid.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Self::Invalid(invalid) = self {
            invalid.describe(details);
        }
    }
}

fn join(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}
