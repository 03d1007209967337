//! What compose gives to each container makes it run. Here without an engine: the same programs with
//! the same variables and files, where only addresses are this machine's.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mesh_local::{
    Home, ProcessSpec, Progress, Servers, Signal, Supervised, copy_tree, free_port, http,
};
use mesh_testkit::{IsolatedPostgres, eventually, isolated_postgres, program, programs, workspace};
use meshctl::services;
use serde_json::Value;
use tokio::process::Command;

use super::settings::with_secrets;
use super::{environment, file};
use crate::shop::SERVICES;

const ENDING: Duration = Duration::from_secs(30);

/// The containers of compose.yaml, as processes.
struct Here {
    file: Value,
    folder: PathBuf,
    postgres: IsolatedPostgres,
    /// Where services answer, and call from.
    address: IpAddr,
    /// Where the broker and each service answer.
    ports: BTreeMap<String, u16>,
    running: Vec<Supervised>,
}

impl Here {
    async fn new() -> Here {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compose");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mut ports = BTreeMap::new();
        for name in services::names().unwrap().into_iter().chain(["nats".to_owned()]) {
            ports.insert(name, free_port().unwrap());
        }
        let postgres = isolated_postgres().await;
        Here { file: file(), folder, postgres, address: address(), ports, running: Vec::new() }
    }

    /// A container's variables, with addresses and folders of this machine.
    fn variables(&self, container: &str) -> Vec<(String, String)> {
        let superuser = self.postgres.superuser_url();
        let database = superuser.split('@').nth(1).unwrap().split('/').next().unwrap();
        let keys = match container {
            "provision" => self.folder.join("keys"),
            service => self.folder.join("keys").join(service),
        };
        let here = |(variable, value): (String, String)| {
            let value = with_secrets(&value, password);
            let mut value = value
                .replace("@postgres/", &format!("@{database}/"))
                .replace("@nats:4222", &format!("@127.0.0.1:{}", self.ports["nats"]));
            for (service, port) in &self.ports {
                let (there, here) =
                    (format!("dns:{service}:7000"), format!("static:{}:{port}", self.address));
                value = value.replace(&there, &here);
            }
            if let Some(file) = value.strip_prefix("/keys") {
                value = format!("{}{file}", keys.display());
            }
            if let Some(file) = value.strip_prefix("/etc/gateway") {
                value = format!("{}{file}", workspace().join("compose/gateway").display());
            }
            let value = match variable.as_str() {
                "LISTEN_ADDR" => format!("{}:{}", self.address, self.ports[container]),
                "SERVICE_TOKENS_FROM" => format!("{value},{}/32", self.address),
                "ADMIN_ADDR" => "127.0.0.1:0".to_owned(),
                "POSTGRES_URL" => superuser.clone(),
                // Nobody takes signals here.
                "OTLP_ENDPOINT" => "http://127.0.0.1:9".to_owned(),
                _ => value,
            };
            (variable, value)
        };
        environment(&self.file, container).into_iter().map(here).collect()
    }

    fn start(&mut self, name: &str, program: PathBuf, args: Vec<String>) {
        self.running.push(Supervised::start(ProcessSpec {
            name: name.to_owned(),
            replica: 0,
            program,
            args: args.into_iter().map(Into::into).collect(),
            env: self.variables(name),
            directory: None,
            log: self.folder.join(format!("{name}.log")),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        }));
    }

    /// The broker, with nats/nats.conf and the users that `gen` makes.
    async fn start_nats(&mut self) {
        let config = self.folder.join("nats");
        copy_tree(&workspace().join("nats"), &config).unwrap();
        let file = config.join("nats.conf");
        let text = fs::read_to_string(&file).unwrap();
        let monitor = free_port().unwrap();
        let text = text
            .replace("0.0.0.0:4222", &format!("127.0.0.1:{}", self.ports["nats"]))
            .replace("0.0.0.0:8222", &format!("127.0.0.1:{monitor}"))
            .replace("\"/data\"", &format!("{:?}", self.folder.join("data")));
        fs::write(&file, text).unwrap();
        let home = Home::of_project(&workspace()).unwrap();
        let servers = Servers::find(&home, &mut Progress::hidden()).await.unwrap();
        self.start("nats", servers.nats, vec!["--config".to_owned(), file.display().to_string()]);
        // What the container's check asks for.
        eventually("the broker to be healthy", async || {
            http::is_ok(([127, 0, 0, 1], monitor).into(), "/healthz").await
        })
        .await;
    }

    /// Runs a program once with a container's variables; returns its exit code and all that it said.
    async fn run(&self, container: &str, program: &Path, args: &[String]) -> (Option<i32>, String) {
        let mut command = Command::new(program);
        command.args(args).envs(self.variables(container)).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The words of a list of the file.
    fn words(&self, container: &str, path: &str) -> Vec<String> {
        let list = self.file["services"][container].pointer(path).and_then(Value::as_array);
        list.unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        for process in &self.running {
            process.abandon();
        }
    }
}

/// An address of this machine by which calls are not from loopback, as between containers; loopback if
/// it has none.
fn address() -> IpAddr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // Nothing is sent: it tells by which of its addresses this machine would.
    let route = socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9));
    let here = route.and_then(|()| socket.local_addr()).map(|here| here.ip());
    here.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Of digits alone, as a random one may be: nats-server would take it for a number.
fn password(variable: &str) -> String {
    variable.bytes().map(|byte| byte.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_compose_gives_to_each_container_makes_it_run() {
    let mut here = Here::new().await;
    here.start_nats().await;
    programs(SERVICES).await;
    let meshctl = program("meshctl").await;
    let job = here.words("provision", "/command");
    for _ in 0..2 {
        let (code, said) = here.run("provision", &meshctl, &job).await;
        assert_eq!(code, Some(0), "{said}");
    }
    for service in services::names().unwrap() {
        let program = program(&service).await;
        let check = here.words(&service, "/healthcheck/test");
        assert_eq!(check[..2], ["CMD", "/service"]);
        let (code, said) = here.run(&service, &program, &check[2..]).await;
        assert_eq!(code, Some(1), "{said}");
        here.start(&service, program.clone(), Vec::new());
        eventually(&format!("{service} to be healthy"), async || {
            here.run(&service, &program, &check[2..]).await.0 == Some(0)
        })
        .await;
    }

    let gateway = (here.address, here.ports["gateway"]).into();
    eventually("the gateway to find all of them", async || {
        let (_, page) = http::request(gateway, "GET", "/health").await.ok()?;
        let report: Value = serde_json::from_str(&page).unwrap();
        let all = report["services"].as_object().unwrap();
        assert_eq!(all.len(), here.ports.len() - 2, "{report}");
        all.values().all(|service| service["status"] == "healthy").then_some(())
    })
    .await;
    // One container calls another, which knows it by its token.
    let (status, page) = http::request(gateway, "GET", "/v1/products").await.unwrap();
    assert_eq!(status, 200, "{page}");
    while let Some(process) = here.running.pop() {
        process.stop(ENDING).await;
        let (name, end) = (&process.spec().name, process.status().last_end);
        let drained = end.as_deref() == Some("exit status: 0");
        assert!(drained || name == "nats", "{name} did not drain: {end:?}");
    }
}
