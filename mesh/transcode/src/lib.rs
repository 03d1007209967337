//! HTTP and JSON for gRPC services, by the `google.api.http` options of their contracts, read from
//! descriptors at run time.
//!
//! ```
//! use http::Method;
//! use mesh_transcode::Transcoder;
//! use prost_reflect::DescriptorPool;
//!
//! // Where the contracts are: `shelves.proto`, and `google/api/` with its options.
//! let mut compiler = protox::Compiler::new(["tests/transcode", "../../proto"])?;
//! compiler.include_imports(true).open_file("shelves.proto")?;
//! let set = compiler.encode_file_descriptor_set(); // Keeps the options.
//! let pool = DescriptorPool::decode(&*set)?;
//! let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
//! let transcoder = Transcoder::new(&pool, rpcs)?;
//!
//! let route = transcoder.route(&Method::GET, "/v1/shelves/5/books/7:preview")?;
//! assert_eq!(route.binding().rpc().full_name(), "shelves.v1.ShelvesService.PreviewBook");
//!
//! let request = route.request(Some("pages=3&format=FORMAT_PLAIN"), b"")?;
//! assert_eq!(request.get_field_by_name("book").unwrap().as_str(), Some("shelves/5/books/7"));
//! assert_eq!(request.get_field_by_name("pages").unwrap().as_i32(), Some(3));
//!
//! let refused = route.request(Some("pages=many"), b"").unwrap_err();
//! assert_eq!(refused.http_status(), 400);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Paths are those of `google/api/http.proto` ([`Template`]); which of several that fit is meant is
//! always defined, and contracts that leave it open are refused when they are loaded. A request is
//! made of path, query and body ([`Route::request`]); what cannot be in it is refused by field. An
//! answer is canonical JSON ([`Binding::answer`]), a stream lines or events ([`Framing`]), an error
//! `google.rpc.Status` ([`status_json`], [`http_code`]). Streams of requests have no such form. All of it
//! is described by [`openapi()`].
//!
//! It knows no transport: who calls it has read the request and sends the answer.
#![warn(missing_docs)]

mod answer;
mod binding;
mod body;
mod fields;
mod openapi;
mod percent;
mod refusal;
mod request;
mod router;
mod status;
mod template;

use http::Method;
use prost_reflect::{DescriptorPool, MethodDescriptor};

pub use answer::Framing;
pub use binding::{Binding, Unsound};
pub use openapi::openapi;
pub use refusal::Refusal;
pub use request::Route;
pub use status::{http_code, status_json};
pub use template::{Malformed, Segment, Template, Variable};

use router::{Found, Router};

/// What can be asked for by HTTP.
#[derive(Debug)]
pub struct Transcoder {
    bindings: Vec<Binding>,
    router: Router,
}

impl Transcoder {
    /// Reads the bindings of these RPCs of `pool`. One that names no path has none.
    ///
    /// # Errors
    /// A template is malformed, names what is no field, or cannot be told from another.
    pub fn new(
        pool: &DescriptorPool,
        rpcs: impl IntoIterator<Item = MethodDescriptor>,
    ) -> Result<Self, Unsound> {
        let mut this = Self { bindings: Vec::new(), router: Router::default() };
        for rpc in rpcs {
            for binding in Binding::all(pool, &rpc)? {
                let number = this.bindings.len();
                let added = this.router.add(binding.method(), binding.template(), number);
                if let Err(twin) = added {
                    let twin = this.bindings[twin].rpc().full_name();
                    return Err(binding.unsound(format!("{twin} has the same path")));
                }
                this.bindings.push(binding);
            }
        }
        Ok(this)
    }

    /// All bindings, in the order of the RPCs.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Finds what `path`, undecoded and without its query, leads to.
    ///
    /// # Errors
    /// Nothing is there, or nothing that can be asked with `method`.
    pub fn route<'a>(&'a self, method: &Method, path: &'a str) -> Result<Route<'a>, Refusal> {
        match self.router.find(method, path) {
            Found::Binding(binding, segments) => {
                Ok(Route { binding: &self.bindings[binding], segments })
            }
            Found::Methods(methods) => Err(Refusal::MethodNotAllowed(methods)),
            Found::Nothing => Err(Refusal::NotFound),
        }
    }
}
