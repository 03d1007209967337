//! A cluster, and the shop in it, by the real program; taken down with the value.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use futures::future::join_all;
use mesh_local::{
    Home,
    cluster::{Cluster, Kubectl, Tools},
    http,
};
use mesh_testkit::{eventually, program, skipped, workspace};
use meshctl::{
    caller::{Caller, Evidence},
    generate::{
        cluster::{Traffic, host},
        istio,
    },
    rollout::cluster,
    services,
};
use serde_json::Value;
use tokio::{
    process::Command,
    sync::{Mutex, MutexGuard},
};

use crate::manifests::world::documents;

const NETWORKING: &str = "networking.istio.io";
/// Until every sidecar has heard of a change. One that has lost istiod looks for it the more seldom the
/// longer that was away, every half a minute at last.
pub const HEARD: Duration = Duration::from_secs(60);

pub struct Lab {
    pub home: Home,
    pub cluster: Cluster,
    end: Ended,
    /// What `state.json` says; null without a shop.
    state: Value,
    /// Let go at last, when nothing of it runs any more.
    _alone: MutexGuard<'static, ()>,
}

/// Two clusters want more than one machine has: what is timed in one would tell of the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// One process of a service.
#[derive(Clone, Debug)]
pub struct Process {
    pub version: String,
    pub admin: SocketAddr,
    /// Where others call it, by mutual TLS.
    pub called: SocketAddr,
    /// Where it makes its own calls.
    pub calls: SocketAddr,
}

impl Lab {
    /// A cluster without a shop; none where its programs are not built yet.
    pub async fn open(name: &str) -> Option<Self> {
        let missing = Tools::missing(&Tools::cache_of_user().unwrap());
        if !missing.is_empty() {
            let what = format!("what a cluster consists of ({})", missing.join(", "));
            skipped(&what, "`cargo mesh cluster up` builds it, once");
            return None;
        }
        let alone = ALONE.lock().await;
        let program = program("meshctl").await;
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{name}"));
        let home = Home::at(&root).unwrap();
        let project = Home::of_project(&workspace()).unwrap();
        // Servers that were installed for the project need not be installed again.
        if project.wheels().is_dir() && !home.path("venv").exists() {
            std::os::unix::fs::symlink(project.wheels(), home.path("venv")).unwrap();
        }
        let end = Ended { home: home.clone(), program: program.clone() };
        end.now();
        mesh(&home, &program, &["cluster", "up"]).await;
        let cluster = Cluster::find(&home).unwrap().unwrap();
        Some(Self { home, cluster, end, state: Value::Null, _alone: alone })
    }

    /// The same with a shop.
    pub async fn with_shop(name: &str, more: &[&str]) -> Option<Self> {
        let mut lab = Self::open(name).await?;
        let up = ["up", "--istio", "--detach", "--json", "--untraced"];
        let said = lab.run(&[&up[..], more].concat()).await;
        lab.state = serde_json::from_slice(&said.stdout).unwrap();
        Some(lab)
    }

    /// Runs a command of the program, which has to succeed.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        mesh(&self.home, &self.end.program, arguments).await
    }

    /// Runs a command of the program, whatever comes of it.
    pub async fn tries(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// A command of the program, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(&self.home, &self.end.program, arguments)
    }

    /// The processes of a service as `state.json` has them now.
    pub fn processes_now(&self, service: &str) -> Vec<Process> {
        processes(&self.state_now(), service)
    }

    fn state_now(&self) -> Value {
        let text = std::fs::read_to_string(self.home.path("state.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub fn kubectl(&self) -> Kubectl {
        self.cluster.kubectl()
    }

    /// The processes of a service.
    pub fn processes(&self, service: &str) -> Vec<Process> {
        processes(&self.state, service)
    }

    /// The operator's program, to the services.
    pub fn operator(&self) -> Caller {
        let shows = serde_json::from_value(self.state["caller"].clone()).unwrap();
        let users = self.state["users"].as_str().map(PathBuf::from);
        let terms = serde_json::from_value(self.state["terms"].clone()).unwrap();
        Caller { shows, users, terms }
    }

    /// Where the operator's program makes its calls.
    pub fn door(&self) -> SocketAddr {
        match self.operator().shows {
            Evidence::Sidecar(door) => door,
            other => panic!("the shop is not behind sidecars: {other:?}"),
        }
    }

    /// Applies objects.
    pub async fn apply(&self, objects: &[Value]) {
        self.kubectl().apply(objects).await.unwrap();
    }

    /// Changes one object by a JSON patch.
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let (kind, patch) = (format!("{kind}.{NETWORKING}"), patch.to_string());
        let patch = ["patch", &kind, name, "--namespace", "shop", "--type=json", "--patch", &patch];
        self.kubectl().run(&patch).await.unwrap();
    }

    /// Applies what would be shipped of a service's traffic if `istio/traffic.toml` said this besides, and
    /// if both versions that are named there were declared. First where they are, and only when every
    /// sidecar knows it the routes: one to what is not known yet leads nowhere.
    pub async fn route(&self, service: &str, written: &str) {
        let mut all = services::declarations().unwrap();
        let declared = all.iter_mut().find(|it| it.service == service).unwrap();
        declared.versions = vec!["v1".to_owned(), "v2".to_owned()];
        let text = format!("{}\n[services.{service}]\n{written}\n", services::TRAFFIC.1);
        let traffic = Traffic::parse(&text, &all).unwrap();
        let pages = istio::pages_with(&all, traffic).unwrap();
        let page = pages.iter().find(|it| it.path.ends_with(&format!("/{service}.yaml")));
        let (places, routes): (Vec<_>, Vec<_>) = traffic_of(&page.unwrap().text)
            .into_iter()
            .partition(|it| it["kind"] == "DestinationRule");
        self.apply(&places).await;
        let begun = Instant::now();
        while !self.is_known(service, "v2").await {
            assert!(begun.elapsed() < HEARD, "a sidecar does not know where {service} v2 is");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.apply(&routes).await;
    }

    /// Applies a service's traffic as it is shipped. First to the version that takes all calls then, and
    /// only when no sidecar leads calls elsewhere the other one is left out: a route to what is not there
    /// any more leads nowhere.
    pub async fn as_shipped(&self, service: &str) {
        self.route(service, "weights = { v1 = 100 }").await;
        let only_first = format!("calls of {service} to be led to its first version");
        eventually(&only_first, async || !self.is_led_to(service, "v2").await).await;
        let file = workspace().join(format!("istio/generated/{service}.yaml"));
        self.apply(&traffic_of(&std::fs::read_to_string(file).unwrap())).await;
    }

    /// Whether every sidecar that knows a service's first version knows where another one is.
    async fn is_known(&self, service: &str, version: &str) -> bool {
        let [first, other] = ["v1", version].map(|it| format!("{}::", cluster(service, it)));
        let has = |page: &str, begin: &str, what: &str| {
            page.lines().any(|line| line.starts_with(begin) && line.contains(what))
        };
        let pages = self.pages("/clusters").await;
        pages.iter().all(|page| {
            let page = page.as_deref().unwrap_or(&first);
            !has(page, &first, "") || has(page, &other, "::health_flags::")
        })
    }

    /// Whether some sidecar has a route to a version of a service. Who does not answer may have one.
    async fn is_led_to(&self, service: &str, version: &str) -> bool {
        let subset = format!("|{version}|{}", host(service));
        let pages = self.pages("/config_dump?resource=dynamic_route_configs").await;
        pages.iter().any(|page| page.as_deref().is_none_or(|page| page.contains(&subset)))
    }

    /// A page of every process's sidecar, and of the operator's; none of who does not answer.
    async fn pages(&self, path: &str) -> Vec<Option<String>> {
        let state = self.state_now();
        let processes = state["services"].as_object().unwrap().values();
        let sidecars = processes.flat_map(|all| all.as_array().unwrap()).map(|it| &it["sidecar"]);
        let admins = sidecars.map(|it| &it["admin"]).chain([&state["operator"]]);
        let asked = admins.map(async |at| {
            let at = at.as_str().unwrap().parse().unwrap();
            http::request(at, "GET", path).await.ok().map(|(_, page)| page)
        });
        join_all(asked).await
    }
}

/// Of a service's objects those that say where calls go.
fn traffic_of(text: &str) -> Vec<Value> {
    let mut all = documents(text);
    all.retain(|it| it["kind"] == "VirtualService" || it["kind"] == "DestinationRule");
    assert_eq!(all.len(), 2);
    all
}

fn processes(state: &Value, service: &str) -> Vec<Process> {
    let all = state["services"][service].as_array().unwrap().iter();
    let read = |process: &Value| {
        let at = |place: &Value| place.as_str().unwrap().parse().unwrap();
        let sidecar = &process["sidecar"];
        Process {
            version: sidecar["version"].as_str().unwrap().to_owned(),
            admin: at(&process["admin"]),
            called: at(&sidecar["called"]),
            calls: at(&sidecar["calls"]),
        }
    };
    all.map(read).collect()
}

fn command(home: &Home, program: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("MESH_HOME", home.root()).env("CI", "1");
    command.current_dir(workspace()).kill_on_drop(true);
    command
}

async fn mesh(home: &Home, program: &PathBuf, arguments: &[&str]) -> Output {
    let output = command(home, program, arguments).output().await.unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Ends what runs in a home.
struct Ended {
    home: Home,
    program: PathBuf,
}

impl Ended {
    fn now(&self) {
        for arguments in [&["down", "--wipe"][..], &["cluster", "down"]] {
            let mut command = std::process::Command::new(&self.program);
            command.args(arguments).env("MESH_HOME", self.home.root()).env("CI", "1");
            let _ = command.output();
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.now();
    }
}
