//! The page about the service graph: its edges, who enforces what on them, and what a client without
//! this platform's code has to do without.

use std::fmt::Write as _;

use anyhow::Result;
use mesh_local::Declaration;
use mesh_policy::Effective;

use crate::generate::istio;

use super::facets::{Enforcer, FACETS, Told, check};
use super::{Library, ServiceConfig};

/// The page.
pub(super) fn page(declarations: &[Declaration], contracts: &Effective) -> Result<String> {
    check(contracts, &FACETS)?;
    let mut text = HEAD.to_owned();
    edges(&mut text, declarations)?;
    enforcers(&mut text)?;
    text.push_str(&istio::fidelity::section());
    clients(&mut text, declarations, contracts)?;
    Ok(text)
}

const HEAD: &str = "\
# The service graph
Made by `cargo mesh gen` from what services declare (`services/*/mesh.toml`) and contracts say (`proto/`):
change those, not this.

";

fn edges(text: &mut String, declarations: &[Declaration]) -> Result<()> {
    text.push_str("## Edges\n| from | | to | what | why |\n|---|---|---|---|---|\n");
    for Declaration { service, calls, .. } in declarations {
        for call in calls {
            let methods = &call.methods;
            writeln!(text, "| {service} | calls | {} | {methods} | {} |", call.service, call.why)?;
        }
    }
    for Declaration { service, subscribes, .. } in declarations {
        for heard in subscribes {
            let short = |name: &String| name.rsplit('.').next().unwrap_or(name).to_owned();
            let events: Vec<_> = heard.subjects.iter().map(short).collect();
            let (stream, events) = (&heard.stream, events.join(", "));
            writeln!(text, "| {stream} | tells | {service} | {events} | {} |", heard.why)?;
        }
    }
    Ok(())
}

const ENFORCERS: &str = "
## Who enforces what
A facet of the policy of calls has one enforcer. What the callee enforces holds for every client. What
the caller enforces, `mesh-rpc` does in this platform's own programs, and in others gRPC's library, as
far as a service config can tell it. The values are those of `cargo mesh policy`.

| facet | enforced by | in a service config | what is lost |
|---|---|---|---|
";

fn enforcers(text: &mut String) -> Result<()> {
    text.push_str(ENFORCERS);
    for facet in &FACETS {
        let name = |key: &&str| match key.strip_suffix('.') {
            Some(all) => format!("`{all}`"),
            None => format!("`{key}`"),
        };
        let names: Vec<_> = facet.keys.iter().map(name).collect();
        let enforcer = match facet.enforcer {
            Enforcer::Caller => "caller",
            Enforcer::Callee => "callee",
            Enforcer::Nobody => "a fact",
        };
        let (place, loss) = match facet.told {
            Told::Same(place) => (place, "nothing"),
            Told::Other(place, loss) => (place, loss),
            Told::Lost(loss) => ("–", loss),
            Told::Needless => ("–", "nothing: not the client's business"),
        };
        writeln!(text, "| {} | {enforcer} | {place} | {loss} |", names.join(", "))?;
    }
    Ok(())
}

const CLIENTS: &str = "
## Clients in other languages
Each service has a file that gRPC's own library takes when a channel is made: Go by
`grpc.WithDefaultServiceConfig(text)` (and `import _ \"google.golang.org/grpc/health\"`), Java by
`defaultServiceConfig(map)`. Calls then have the contract's deadline if they are given none, are repeated if
that is safe, within a budget, and go in turn to all endpoints that say they are ready.

Libraries on gRPC's C core (C++, Python, Ruby, PHP) take the file of the same name in
`clients/service_config/core`, by the channel argument `grpc.service_config`. It is the same without
deadlines: such a library ends a call one to two seconds before a deadline that a service config says
([34547](https://github.com/grpc/grpc/issues/34547), [40633](https://github.com/grpc/grpc/issues/40633)). It
keeps to one that the call is given, so give one.

- A deadline that is given is good manners in any language: it says what the caller can use.
- A `request_id` is made once per wish and sent again as it is; the library's repetitions do that.
- Operators' RPCs (`mesh.operator.v1`) are in no file: `cargo mesh` makes those calls.

| file | RPCs | repeated | hedged here, retried there | with a deadline that also cuts longer ones |
|---|---|---|---|---|
";

fn clients(text: &mut String, declarations: &[Declaration], policy: &Effective) -> Result<()> {
    text.push_str(CLIENTS);
    for declaration in declarations.iter().filter(|it| it.contract.is_some()) {
        let service = &declaration.service;
        let packages: Vec<&str> = declaration.packages().collect();
        let config = ServiceConfig::of(policy, service, &packages, Library::Any)?;
        let count = |wanted: &dyn Fn(&str, bool) -> bool| -> usize {
            let methods = config.method_config.iter().flat_map(|it| {
                it.name.iter().map(move |name| (name.path(), it.retry_policy.is_some()))
            });
            methods.filter(|(path, repeated)| wanted(path, *repeated)).count()
        };
        let call = |path: &str| policy.method(path);
        let all = count(&|_, _| true);
        let repeated = count(&|_, repeated| repeated);
        let hedged = count(&|path, _| call(path).is_some_and(|it| it.hedge.is_some()));
        let cut = count(&|path, _| call(path).is_some_and(|it| it.deadline < it.max_deadline));
        let file = Library::Any.file(service);
        writeln!(text, "| `{file}` | {all} | {repeated} | {hedged} | {cut} |")?;
    }
    Ok(())
}
