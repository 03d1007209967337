//! Words by which products are found, and how alike two words are.

use std::collections::BTreeSet;

/// Letters of a word that count; two words that agree in these are one.
const LONGEST_WORD: usize = 40;

/// The words of a text, in lower case and in their order.
pub fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(LONGEST_WORD).collect())
        .collect()
}

/// The words of a text, each once, in alphabetical order.
pub fn different_words(text: &str) -> Vec<String> {
    BTreeSet::from_iter(words(text)).into_iter().collect()
}

/// All three letters that follow one another in a word, each once, in order. Two blanks stand
/// before a word and one behind it: words that begin alike are more alike.
pub fn trigrams(word: &str) -> Vec<String> {
    let letters: Vec<char> = "  ".chars().chain(word.chars()).chain([' ']).collect();
    let all: BTreeSet<String> = letters.windows(3).map(|three| three.iter().collect()).collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        assert_eq!(words("Stoneware mug, BLUE, 350 ml"), ["stoneware", "mug", "blue", "350", "ml"]);
        assert_eq!(words("MUG-BLUE-350"), ["mug", "blue", "350"]);
        assert_eq!(words("Café, café & ЧАЙ"), ["café", "café", "чай"]);
        assert_eq!(different_words("Tea, café & TEA"), ["café", "tea"]);
        assert_eq!(words(&"x".repeat(4000)), ["x".repeat(40)]);
        assert!(words(" -- \u{a0}– ").is_empty());
    }

    #[test]
    fn trigrams_know_where_a_word_begins_and_ends() {
        assert_eq!(trigrams("tea"), ["  t", " te", "ea ", "tea"]);
        assert_eq!(trigrams("a"), ["  a", " a "]);
        assert_eq!(trigrams("aaaa"), ["  a", " aa", "aa ", "aaa"]);
    }

    proptest! {
        #[test]
        fn words_of_words_are_the_same_words(text in ".{0,60}") {
            let once = words(&text);
            prop_assert_eq!(words(&once.join(" ")), once);
        }

        #[test]
        fn a_word_has_trigrams_without_the_separator_of_lists(text in ".{1,60}") {
            for word in words(&text) {
                let trigrams = trigrams(&word);
                prop_assert!(trigrams.len() >= 2 && trigrams.iter().all(|t| !t.contains(',')));
            }
        }
    }
}
