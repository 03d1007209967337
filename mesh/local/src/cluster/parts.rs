//! The processes of a control plane: what they read, and how they are run.

use anyhow::Result;
use rcgen::KeyPair;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Cluster;
use super::control::{CERTIFIED, CONTROLLERS, SYSTEM, at};
use crate::{Authority, Holder, ProcessSpec, private_dir, write_private};

impl Cluster {
    /// What the processes read: keys, certificates, who the administrator is, what the mesh is.
    pub(super) fn prepare(&self) -> Result<()> {
        for folder in ["run", "logs", "etcd", "pki"] {
            private_dir(&self.dir.join(folder), None)?;
        }
        let authority = Authority::open(&self.dir.join("pki"))?.with_life(CERTIFIED);
        for server in ["etcd-server", "api-server"] {
            let dir = self.dir.join("pki").join(server);
            private_dir(&dir, None)?;
            authority.issue_to(&Holder::Server { dir, owner: None })?;
        }
        authority.issue("api-client")?;
        let accounts = self.dir.join("pki/accounts.key");
        if !accounts.is_file() {
            let key = KeyPair::generate()?;
            write_private(&self.dir.join("pki/accounts.pub"), &key.public_key_pem())?;
            write_private(&accounts, &key.serialize_pem())?;
        }
        let token = &self.known.token;
        write_private(&self.dir.join("tokens.csv"), &format!("{token},admin,1,system:masters\n"))?;
        let kubeconfig = self.kubeconfig().to_string();
        write_private(&self.dir.join("kubeconfig.json"), &kubeconfig)?;
        write_private(&self.dir.join("mesh.json"), &self.mesh().to_string())?;
        Ok(())
    }

    fn kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "local", "cluster": {
                "server": format!("https://{}", at(self.known.api)),
                "certificate-authority": self.dir.join("pki/ca.pem"),
            } }],
            "users": [{ "name": "admin", "user": { "token": self.known.token } }],
            "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "admin" } }],
            "current-context": "local",
        })
    }

    /// As Istio's own settings are, but for what only its own build of Envoy can do: it counts for
    /// Prometheus by a filter that no other has. So the provider `prometheus` is one that writes lines.
    fn mesh(&self) -> Value {
        let lines = json!({ "path": "/dev/stdout" });
        json!({
            "defaultConfig": { "discoveryAddress": self.discovery().to_string(), "tracing": {} },
            "defaultProviders": {},
            "enableAutoMtls": true,
            "enablePrometheusMerge": false,
            "extensionProviders": [{ "name": "prometheus", "envoyFileAccessLog": lines }],
            "trustDomain": "cluster.local",
        })
    }

    pub(super) fn etcd(&self) -> ProcessSpec {
        let [client, peer] = self.known.etcd.map(|port| format!("https://{}", at(port)));
        let pki = self.dir.join("pki");
        let file = |name: &str| pki.join(name).display().to_string();
        let (certificate, key) = (file("etcd-server/cert.pem"), file("etcd-server/key.pem"));
        let trust = file("ca.pem");
        self.spec(
            "etcd",
            "etcd",
            &[
                ("name", "local"),
                ("data-dir", &self.dir.join("etcd").display().to_string()),
                ("listen-client-urls", &client),
                ("advertise-client-urls", &client),
                ("listen-peer-urls", &peer),
                ("initial-advertise-peer-urls", &peer),
                ("initial-cluster", &format!("local={peer}")),
                ("cert-file", &certificate),
                ("key-file", &key),
                ("trusted-ca-file", &trust),
                ("client-cert-auth", "true"),
                ("peer-cert-file", &certificate),
                ("peer-key-file", &key),
                ("peer-trusted-ca-file", &trust),
                ("peer-client-cert-auth", "true"),
                // It would call itself with a certificate that is a server's.
                ("enable-grpc-gateway", "false"),
                // What a machine's end takes along is applied again.
                ("unsafe-no-fsync", "true"),
                ("logger", "zap"),
                ("log-level", "warn"),
            ],
        )
    }

    pub(super) fn api(&self) -> ProcessSpec {
        let file = |name: &str| self.dir.join(name).display().to_string();
        self.spec(
            "kube-apiserver",
            "kube-apiserver",
            &[
                ("etcd-servers", &format!("https://{}", at(self.known.etcd[0]))),
                ("etcd-cafile", &file("pki/ca.pem")),
                ("etcd-certfile", &file("pki/api-client/cert.pem")),
                ("etcd-keyfile", &file("pki/api-client/key.pem")),
                ("bind-address", "127.0.0.1"),
                ("advertise-address", "127.0.0.1"),
                ("secure-port", &self.known.api.to_string()),
                ("tls-cert-file", &file("pki/api-server/cert.pem")),
                ("tls-private-key-file", &file("pki/api-server/key.pem")),
                ("service-cluster-ip-range", "10.96.0.0/16"),
                ("service-account-issuer", "https://kubernetes.default.svc"),
                ("service-account-key-file", &file("pki/accounts.pub")),
                ("service-account-signing-key-file", &file("pki/accounts.key")),
                ("token-auth-file", &file("tokens.csv")),
                ("authorization-mode", "RBAC"),
                ("anonymous-auth", "false"),
                ("endpoint-reconciler-type", "none"),
                ("max-requests-inflight", "400"),
            ],
        )
    }

    /// What no program of the shop stands in for: an account and the authority's certificate in every
    /// namespace, the end of namespaces and of what belongs to something that is gone. Who would make
    /// pods, and endpoints of them, has nothing to do where processes are machines.
    pub(super) fn controllers(&self) -> ProcessSpec {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let kubeconfig = file("kubeconfig.json");
        let all = [
            "garbage-collector-controller",
            "namespace-controller",
            "root-ca-certificate-publisher-controller",
            "serviceaccount-controller",
        ];
        self.spec(
            CONTROLLERS,
            CONTROLLERS,
            &[
                ("kubeconfig", &kubeconfig),
                ("authentication-kubeconfig", &kubeconfig),
                ("authorization-kubeconfig", &kubeconfig),
                ("bind-address", "127.0.0.1"),
                ("secure-port", &self.known.controllers.to_string()),
                ("tls-cert-file", &file("pki/api-server/cert.pem")),
                ("tls-private-key-file", &file("pki/api-server/key.pem")),
                ("root-ca-file", &file("pki/ca.pem")),
                ("service-account-private-key-file", &file("pki/accounts.key")),
                ("controllers", &all.join(",")),
                ("leader-elect", "false"),
            ],
        )
    }

    pub(super) fn istiod(&self) -> ProcessSpec {
        let [secure, webhook, plain, metrics] =
            std::array::from_fn(|which| self.istiod_at(which).to_string());
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut spec = self.spec(
            "istiod",
            "pilot-discovery",
            &[
                ("kubeconfig", &file("kubeconfig.json")),
                ("meshConfig", &file("mesh.json")),
                ("grpcAddr", ""),
                ("secureGRPCAddr", &secure),
                ("httpsAddr", &webhook),
                ("httpAddr", &plain),
                ("monitoringAddr", &metrics),
                ("ctrlz_port", "0"),
                ("log_output_level", "default:warn"),
            ],
        );
        spec.args.insert(0, "discovery".into());
        let variables = [
            // Filters that only Istio's own build of Envoy has; nothing here depends on them.
            ("PILOT_ENABLE_ALPN_FILTER", "false"),
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
            ("PILOT_ENABLE_TELEMETRY_LABEL", "false"),
            ("PILOT_CERT_PROVIDER", "istiod"),
            ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
            ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
            ("ISTIOD_CUSTOM_HOST", "127.0.0.1"),
            ("POD_NAMESPACE", SYSTEM),
            ("POD_NAME", "istiod"),
        ];
        spec.env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        // It fetches the keys of tokens' issuers from where the manifests say. The names lead to this
        // machine, and whoever answers shows a certificate of this cluster's authority.
        spec.env.push(("HTTPS_PROXY".to_owned(), format!("http://{}", self.names())));
        spec.env.push(("SSL_CERT_FILE".to_owned(), file("pki/ca.pem")));
        spec
    }

    fn spec(&self, name: &str, program: &str, flags: &[(&str, &str)]) -> ProcessSpec {
        let flags = flags.iter().map(|(name, value)| format!("--{name}={value}").into());
        ProcessSpec {
            name: name.to_owned(),
            replica: 0,
            program: self.tools.program(program),
            args: flags.collect(),
            env: Vec::new(),
            // What they write to places relative to it is theirs.
            directory: Some(self.dir.clone()),
            log: self.log(name),
            pid_file: Some(self.dir.join("run").join(name).with_extension("pid")),
            user: None,
            stop: Signal::TERM,
        }
    }
}
