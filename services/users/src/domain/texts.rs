//! Short texts of few letters.

const LONGEST_PHONE: usize = 40;

/// Whether this may be a telephone number, or none.
pub fn is_phone(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_digit() || " +-()./".contains(c);
    text.len() <= LONGEST_PHONE && text.chars().all(letters)
}

/// Whether this may be a language tag (BCP 47) of a language and perhaps a script and a region, or
/// none.
pub fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let is_part = |part: &str, least: usize, most: usize| {
        (least..=most).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
    };
    let is_named = is_part(language, 2, 3) && language.bytes().all(|c| c.is_ascii_alphabetic());
    text.is_empty() || (is_named && text.len() <= 16 && parts.all(|part| is_part(part, 2, 8)))
}

#[cfg(test)]
mod tests {
    use super::{is_language, is_phone};

    #[test]
    fn a_number_is_of_digits_and_what_people_put_between_them() {
        assert!(is_phone("") && is_phone("+49 (0)30 123-45.6/7") && is_phone(&"1".repeat(40)));
        assert!(!is_phone("call me") && !is_phone("1\0") && !is_phone(&"1".repeat(41)));
    }

    #[test]
    fn a_language_may_have_a_script_and_a_region() {
        for good in ["", "en", "pt-BR", "zh-Hant-TW", "gsw"] {
            assert!(is_language(good), "{good}");
        }
        for bad in ["e", "12", "english", "en-", "en_GB", "no such thing", "en-aaaaaaaaa"] {
            assert!(!is_language(bad), "{bad}");
        }
    }
}
