//! Which clients are tried: those that this machine can run. If `CLIENTS` names some (`python,go`), these
//! alone, and they have to be there.

const CHOICE: &str = "CLIENTS";

/// Whether a client in this language is to be tried.
pub fn is_wanted(language: &str) -> bool {
    let wanted = chosen().is_none_or(|chosen| chosen.iter().any(|name| name == language));
    if !wanted {
        println!("skipped: {CHOICE} does not name {language}");
    }
    wanted
}

/// What was found for a language.
pub fn of<T>(language: &str, found: Option<T>) -> Option<T> {
    let named = chosen().is_some_and(|chosen| chosen.iter().any(|name| name == language));
    assert!(found.is_some() || !named, "{CHOICE} names {language}, and it is not here");
    found
}

fn chosen() -> Option<Vec<String>> {
    let named = std::env::var(CHOICE).ok().filter(|named| !named.is_empty())?;
    Some(named.split(',').map(|name| name.trim().to_owned()).collect())
}
