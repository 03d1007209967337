//! gRPC's service config of one service (gRFC A2), as every gRPC library reads it.

use std::time::Duration;

use anyhow::{Result, bail};
use mesh_policy::{Effective, Method, RetryCodes, values};
use serde::Serialize;
use serde_json::{Value, json};

/// The one code after which the standard repeats as this platform does. After RESOURCE_EXHAUSTED
/// the platform repeats only if the callee says when; the standard would repeat it unasked.
const UNAVAILABLE: &str = "UNAVAILABLE";

/// Whose library reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Go's, Java's, and others that keep to what they are told.
    Any,
    /// The C core: C++, Python, Ruby, PHP. Calls with a `timeout` of a service config end one to two
    /// seconds too early there (grpc/grpc issues 34547 and 40633), so it is told none.
    Core,
}

/// How a client is to call a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceConfig {
    /// How calls are spread over endpoints.
    pub load_balancing_config: Value,
    /// Whom a client asks whether an endpoint wants calls (gRFC A17).
    pub health_check_config: Value,
    /// What repeating may cost (gRFC A6).
    pub retry_throttling: RetryThrottling,
    /// Every RPC, by its exact name.
    pub method_config: Vec<MethodConfig>,
}

/// The account that repetitions are paid from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryThrottling {
    /// Tokens of a full account; C++ and Python take no fractions.
    pub max_tokens: u32,
    /// What a success earns.
    pub token_ratio: f64,
}

/// RPCs that are called alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodConfig {
    /// Which.
    pub name: Vec<Name>,
    /// The deadline of a call that is given none; a longer one is cut to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How a failed one is repeated; never, without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
}

/// One RPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// `package.Service`.
    pub service: String,
    /// Its RPC.
    pub method: String,
}

/// How a failed call is repeated.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts in all.
    pub max_attempts: u32,
    /// The pause before the second.
    pub initial_backoff: String,
    /// No pause is longer.
    pub max_backoff: String,
    /// What a pause is multiplied with for the next.
    pub backoff_multiplier: f64,
    /// After which answers.
    pub retryable_status_codes: Vec<&'static str>,
}

impl ServiceConfig {
    /// That of the service of this name, whose contracts are these proto packages.
    ///
    /// # Errors
    /// They have no RPC.
    pub fn of(
        contracts: &Effective,
        service: &str,
        packages: &[&str],
        library: Library,
    ) -> Result<ServiceConfig> {
        let mut methods: Vec<&Method> = contracts
            .contracts()
            .methods()
            .filter(|method| {
                method.service().rsplit_once('.').is_some_and(|it| packages.contains(&it.0))
            })
            .collect();
        methods.sort_by(|a, b| a.path.cmp(&b.path));
        if methods.is_empty() {
            let package = packages.join("`, `");
            bail!("no service of `{package}` has an RPC: `contract` names a proto package");
        }
        let mut method_config: Vec<MethodConfig> = Vec::new();
        for method in methods {
            let Some(call) = contracts.method(&method.path) else { continue };
            let one = MethodConfig::of(method, call, library);
            match method_config.iter_mut().find(|known| known.is_like(&one)) {
                Some(known) => known.name.extend(one.name),
                None => method_config.push(one),
            }
        }
        let values::Budget { tokens, ratio } = contracts.target(service).budget;
        Ok(ServiceConfig {
            load_balancing_config: json!([{ "round_robin": {} }]),
            // The whole server's: all its services become ready and unready together.
            health_check_config: json!({ "serviceName": "" }),
            retry_throttling: RetryThrottling {
                max_tokens: tokens.round() as u32,
                token_ratio: ratio,
            },
            method_config,
        })
    }
}

impl Name {
    /// `package.Service/Method`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.service, self.method)
    }
}

impl MethodConfig {
    fn of(method: &Method, call: &values::Call, library: Library) -> MethodConfig {
        let service = method.service().to_owned();
        let name = method.path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_repeated =
            method.retry_codes.contains(RetryCodes::UNAVAILABLE) && call.retry.attempts > 1;
        MethodConfig {
            name: vec![Name { service, method: name }],
            timeout: (library == Library::Any).then(|| duration(call.deadline)),
            retry_policy: is_repeated.then(|| RetryPolicy::of(&call.retry)),
        }
    }

    fn is_like(&self, other: &MethodConfig) -> bool {
        self.timeout == other.timeout && self.retry_policy == other.retry_policy
    }
}

impl RetryPolicy {
    fn of(retry: &values::Retry) -> RetryPolicy {
        RetryPolicy {
            max_attempts: retry.attempts,
            initial_backoff: duration(retry.first_backoff),
            max_backoff: duration(retry.max_backoff),
            backoff_multiplier: retry.multiplier,
            retryable_status_codes: vec![UNAVAILABLE],
        }
    }
}

/// As protobuf's JSON has it: `2s`, `0.05s`.
fn duration(duration: Duration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_policy::{Overlay, Table};

    use super::*;

    /// The contract of the policy lab: one RPC of each kind, and none of the shop's.
    fn lab(overlay: &str) -> ServiceConfig {
        lab_for(overlay, Library::Any)
    }

    fn lab_for(overlay: &str, library: Library) -> ServiceConfig {
        let table = Table::from_descriptors(&[mesh_echo::DESCRIPTORS]).unwrap();
        let overlay = Overlay::parse(overlay).unwrap();
        let contracts = Effective::new(Arc::new(table), &overlay).unwrap();
        ServiceConfig::of(&contracts, "echo", &["echo.v1"], library).unwrap()
    }

    fn method<'a>(config: &'a ServiceConfig, name: &str) -> &'a MethodConfig {
        let has = |it: &&MethodConfig| it.name.iter().any(|it| it.method == name);
        let mut found = config.method_config.iter().filter(has);
        let method = found.next().unwrap();
        assert!(found.next().is_none(), "{name} is configured twice");
        method
    }

    #[test]
    fn what_is_safe_to_repeat_is_repeated_and_nothing_else() {
        let config = lab("");

        for name in ["Read", "Glance", "Put", "List"] {
            let policy = method(&config, name).retry_policy.as_ref().expect(name);
            assert_eq!(policy.max_attempts, 3);
            assert_eq!(
                (&*policy.initial_backoff, &*policy.max_backoff, policy.backoff_multiplier),
                ("0.05s", "1s", 2.0)
            );
            assert_eq!(policy.retryable_status_codes, ["UNAVAILABLE"]);
        }
        for name in ["Add", "Collect", "Chat"] {
            assert_eq!(method(&config, name).retry_policy, None, "{name}");
        }
    }

    #[test]
    fn every_rpc_has_its_contracts_default_deadline() {
        let config = lab("");

        assert_eq!(method(&config, "Read").timeout.as_deref(), Some("5s"));
        assert_eq!(method(&config, "Chat").timeout.as_deref(), Some("60s"));
        let names: usize = config.method_config.iter().map(|it| it.name.len()).sum();
        assert_eq!(names, 7);
        assert!(config.method_config.iter().all(|it| it.name[0].service == "echo.v1.EchoService"));
    }

    #[test]
    fn the_c_core_is_told_of_repetitions_and_not_of_deadlines() {
        let (any, core) = (lab(""), lab_for("", Library::Core));

        assert!(core.method_config.iter().all(|it| it.timeout.is_none()));
        for name in ["Read", "Glance", "Put", "Add", "List", "Collect", "Chat"] {
            let policy = |config| method(config, name).retry_policy.clone();
            assert_eq!(policy(&core), policy(&any), "{name}");
        }
    }

    #[test]
    fn what_operators_turn_is_turned_here_too() {
        let config =
            lab("[methods.'echo.v1.EchoService/Read']\ndeadline = '1500ms'\nretry.attempts = 1\n\
             [targets.echo]\nbudget = { tokens = 10, ratio = 0.5 }");

        let read = method(&config, "Read");
        assert_eq!(read.timeout.as_deref(), Some("1.5s"));
        assert_eq!(read.retry_policy, None, "one attempt is none");
        let expected = RetryThrottling { max_tokens: 10, token_ratio: 0.5 };
        assert_eq!(config.retry_throttling, expected);
    }

    #[test]
    fn a_package_without_rpcs_is_refused() {
        let table = Table::from_descriptors(&[mesh_echo::DESCRIPTORS]).unwrap();
        let contracts = Effective::of_contracts(Arc::new(table));

        let why = ServiceConfig::of(&contracts, "echo", &["echo.v2"], Library::Any);
        let why = why.unwrap_err().to_string();

        assert!(why.contains("no service of `echo.v2` has an RPC"), "{why}");
    }

    #[test]
    fn names_are_those_of_the_standard() {
        let text = serde_json::to_string(&lab("")).unwrap();

        for name in [
            r#""loadBalancingConfig":[{"round_robin":{}}]"#,
            r#""healthCheckConfig":{"serviceName":""}"#,
            r#""retryThrottling":{"maxTokens":100,"tokenRatio":0.2}"#,
            r#""name":[{"service":"echo.v1.EchoService","method":"Add"}],"timeout":"5s"}"#,
            r#""retryPolicy":{"maxAttempts":3,"initialBackoff":"0.05s","maxBackoff":"1s","backoffMultiplier":2.0,"#,
            r#""retryableStatusCodes":["UNAVAILABLE"]}"#,
        ] {
            assert!(text.contains(name), "{name}\n{text}");
        }
    }
}
