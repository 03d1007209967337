//! What a program is made for.

use std::env::consts::ARCH;

use anyhow::{Result, ensure};

/// Bytes of a program's beginning that say it.
pub const HEADER: usize = 20;

/// This machine, as images call it.
pub fn here() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Refuses what this machine cannot run, by its first bytes.
///
/// # Errors
/// It is no program, or one for other machines.
pub fn check(begin: &[u8]) -> Result<()> {
    let number = |at: usize| begin.get(at).copied().unwrap_or_default();
    ensure!(
        begin.starts_with(b"\x7fELF"),
        "it is no ELF program; a script runs by what is in its image and maybe not here"
    );
    let machine = match number(5) {
        2 => u16::from_be_bytes([number(18), number(19)]),
        _ => u16::from_le_bytes([number(18), number(19)]),
    };
    let wanted = match ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        _ => return Ok(()),
    };
    let what = match machine {
        62 => "amd64".to_owned(),
        183 => "arm64".to_owned(),
        other => format!("machine {other} of ELF"),
    };
    ensure!(machine == wanted, "it is a program for {what}, and this machine is {}", here());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{HEADER, check};

    #[test]
    fn the_programs_of_this_machine_are_told_from_others() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        check(&own[..HEADER]).unwrap();

        let mut other = own[..HEADER].to_vec();
        other[18..20].copy_from_slice(&8_u16.to_le_bytes());
        for (begin, why) in [
            (&b"#!/bin/sh\nexec true\n"[..], "no ELF program"),
            (b"", "no ELF program"),
            (b"\x7fELF", "machine 0 of ELF"),
            (&other, "machine 8 of ELF, and this machine"),
        ] {
            let said = check(begin).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
