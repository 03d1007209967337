//! The commands of the runbook are those of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::shop::Shop;

#[test]
fn every_command_of_the_runbook_exists() {
    let shop = Shop::bare("runbook");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/RUNBOOK.md");
    let page = fs::read_to_string(page).unwrap();
    let commands: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("cargo mesh ")).collect();
    assert!(commands.len() > 15, "{commands:?}");

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
