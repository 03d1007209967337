//! How a service's process ends.

use std::{
    env,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[test]
fn bad_configuration_exits_64() {
    let status = greeter().args(["--drain", "soon"]).stderr(Stdio::null()).status().unwrap();

    assert_eq!(status.code(), Some(64));
}

#[test]
fn help_documents_every_setting() {
    let output = greeter().arg("--help").output().unwrap();

    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for name in ["LISTEN_ADDR", "ADMIN_ADDR", "DATABASE_URL", "NATS_URL", "DISCOVERY", "GREETED"] {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn a_port_that_is_taken_is_a_failure_and_no_matter_of_configuration() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = greeter().args(["--admin-addr", &address]).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("cannot be bound"));
}

#[test]
fn sigterm_and_sigint_end_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = greeter().stdout(Stdio::piped()).spawn().unwrap();
        wait_for(&mut child, "\"message\":\"started\"");

        kill_process(pid(&child), signal).unwrap();

        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn lines_are_for_people_or_for_programs_as_the_setting_says() {
    let lines = life("pretty");
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_err()), "{lines:#?}");
    let greeted = |line: &String| line.contains(" INFO ") && line.contains("greeted=\"world\"");
    assert!(lines.iter().any(greeted), "{lines:#?}");

    // Nobody looks at a pipe.
    for format in ["json", "auto"] {
        let lines = life(format);
        let read = |line: &String| serde_json::from_str::<Value>(line);
        let lines: Vec<Value> = lines.iter().map(read).collect::<Result<_, _>>().unwrap();
        let greeted = lines.iter().find(|line| line["message"] == "hello").unwrap();
        assert!(greeted["level"] == "INFO" && greeted["greeted"] == "world", "{greeted}");
    }
}

#[test]
fn an_errand_says_how_it_ended_and_starts_no_service() {
    let greet = |arguments: &[&str]| {
        let output = greeter().args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said, String::from_utf8(output.stderr).unwrap())
    };

    let (code, said, _) = greet(&["greet", "--loudness", "2"]);
    assert_eq!((code, said.as_str()), (Some(0), "greeter: hello!!\n"));
    let (code, said, error) = greet(&["greet", "--loudness", "0"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert_eq!(error, "greeter: nobody hears that\n");
    let (code, _, error) = greet(&["insult"]);
    assert_eq!(code, Some(64), "{error}");
    let (_, help, _) = greet(&["--help"]);
    assert!(help.contains("Greets once"), "{help}");
}

#[cfg(debug_assertions)]
#[test]
fn an_armed_crash_point_is_as_hard_as_kill_9() {
    let mut child = greeter().env("CRASH_POINTS", "Greeting:after_call").spawn().unwrap();

    assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
}

/// Every line of a life that ends when it has started and greeted.
fn life(format: &str) -> Vec<String> {
    let mut command = greeter();
    command.env("LOG_FORMAT", format).env("NO_COLOR", "1").env_remove("LOG_LEVEL");
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the example is built");
    let log = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut awaited = vec!["started", "hello"];
    let mut lines = Vec::new();
    for line in log.lines().map(|line| line.expect("text")) {
        let before = awaited.len();
        awaited.retain(|text| !line.contains(text));
        if awaited.is_empty() && before > 0 {
            kill_process(pid(&child), Signal::TERM).expect("it runs");
        }
        lines.push(line);
    }
    let end = child.wait().expect("it was started");
    assert_eq!(end.code(), Some(0), "{lines:#?}");
    lines
}

/// The example, which Cargo builds beside the tests.
fn greeter() -> Command {
    let tests = env::current_exe().expect("a test has a file");
    let target = tests.ancestors().nth(2).expect("it lies in target/debug/deps");
    let mut command = Command::new(target.join("examples/greeter"));
    command.stdin(Stdio::null());
    command
}

fn wait_for(child: &mut Child, text: &str) {
    let log = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut lines = log.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains(text)), "the log ends without {text}");
}

fn pid(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an id")
}
