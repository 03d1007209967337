//! The commands of the pages for operators are those of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::shop::Shop;

#[test]
fn every_command_of_the_runbook_exists() {
    let page = page("RUNBOOK.md");
    let commands: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("cargo mesh "))
        .map(str::to_owned)
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    check(&commands);
}

/// Those in the midst of a sentence, too, and several on one line.
#[test]
fn every_command_of_the_page_about_deploying_exists() {
    let page = page("DEPLOY.md");
    let (mut commands, mut rest) = (BTreeSet::new(), page.as_str());
    while let Some((before, after)) = rest.split_once("cargo mesh ") {
        // In a sentence a command may go over the end of a line.
        let is_in_sentence = before.ends_with('`');
        let end =
            after.find(|c: char| c == '`' || (c == '\n' && !is_in_sentence)).unwrap_or(after.len());
        let command = after[..end].replace('\n', " ");
        let command = command.split(" #").next().unwrap().split(" && ").next().unwrap();
        commands.insert(command.split_whitespace().collect::<Vec<_>>().join(" "));
        rest = after;
    }
    assert!(commands.len() > 15, "{commands:?}");
    check(&commands);
}

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

fn check(commands: &BTreeSet<String>) {
    let shop = Shop::bare("runbook");
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        // `sagas show`, but not `logs orders`: what is no command of its own is an argument.
        let own = match &words[..] {
            [first, second, ..] if shop.run(&[first, second, "--help"]).status.success() => {
                let nested = shop.succeeds(&[first, "--help"]).stdout;
                let nested = String::from_utf8(nested).unwrap();
                match nested.contains(&format!("\n  {second} ")) {
                    true => vec![*first, *second],
                    false => vec![*first],
                }
            }
            _ => vec![words[0]],
        };
        let mut arguments = own.clone();
        arguments.push("--help");
        let help = String::from_utf8(shop.succeeds(&arguments).stdout).unwrap();
        for flag in words.iter().filter(|word| word.starts_with('-')) {
            assert!(help.contains(flag), "`cargo mesh {command}`: {own:?} has no {flag}\n{help}");
        }
        let has_commands = help.contains("\nCommands:\n");
        let names_one = words.len() > 1 && own.len() == 1 && !words[1].starts_with('-');
        assert!(
            !(has_commands && names_one),
            "`cargo mesh {command}`: `{}` has no such command\n{help}",
            own[0]
        );
    }
}
