//! SQL as PostgreSQL reads it, word by word: what stands in comments, texts and bodies of functions is no
//! statement.

/// What a word of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name, in small letters.
    Word,
    /// A name in quotes, as it is.
    Quoted,
    /// A text, a body between dollars, or a number.
    Value,
    /// Anything else, a character each.
    Sign,
}

/// A word of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub text: String,
    /// From 1.
    pub line: usize,
}

impl Token {
    pub fn is(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text == word
    }

    /// What it names, if it can be a name.
    pub fn name(&self) -> Option<&str> {
        matches!(self.kind, Kind::Word | Kind::Quoted).then_some(&self.text)
    }
}

/// A file of SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub statements: Vec<Vec<Token>>,
    /// What comments say, each line for itself.
    pub comments: Vec<(usize, String)>,
}

/// Reads a file; what is not closed goes on to its end.
pub(super) fn read(text: &str) -> Script {
    let mut reader = Reader { rest: text, line: 1, script: Script::default(), open: Vec::new() };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.end();
    reader.script
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    script: Script,
    /// The statement that is being read.
    open: Vec<Token>,
}

impl<'a> Reader<'a> {
    fn step(&mut self) {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return };
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if rest.starts_with("--") {
            let length = rest.find('\n').unwrap_or(rest.len());
            let line = self.line;
            let said = self.take(length).trim_start_matches('-').trim().to_owned();
            self.script.comments.push((line, said));
        } else if rest.starts_with("/*") {
            self.take(nested(rest));
        } else if first == '\'' {
            self.put(Kind::Value, quoted(rest, '\'', false));
        } else if rest.starts_with("E'") || rest.starts_with("e'") {
            self.put(Kind::Value, 1 + quoted(&rest[1..], '\'', true));
        } else if first == '"' {
            let length = quoted(rest, '"', false);
            let line = self.line;
            let name = self.take(length).trim_matches('"').replace("\"\"", "\"");
            self.open.push(Token { kind: Kind::Quoted, text: name, line });
        } else if let Some(length) = dollars(rest) {
            self.put(Kind::Value, length);
        } else if first.is_ascii_digit() {
            let is_part = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
            self.put(Kind::Value, rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        } else if is_word(first) {
            self.put(Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        } else if first == ';' {
            self.take(1);
            self.end();
        } else if first.is_whitespace() {
            self.take(first.len_utf8());
        } else {
            self.put(Kind::Sign, first.len_utf8());
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn put(&mut self, kind: Kind, length: usize) {
        let line = self.line;
        let text = self.take(length);
        let text = if kind == Kind::Word { text.to_lowercase() } else { text.to_owned() };
        self.open.push(Token { kind, text, line });
    }

    fn end(&mut self) {
        if !self.open.is_empty() {
            self.script.statements.push(std::mem::take(&mut self.open));
        }
    }
}

/// The length of a text in quotes, in which a doubled quote is one of its characters.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            characters.next();
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a comment that may hold others.
fn nested(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        let (more, length) = match rest {
            _ if rest.starts_with("/*") => (1, 2),
            _ if rest.starts_with("*/") => (-1, 2),
            _ => (0, rest.chars().next().map_or(1, char::len_utf8)),
        };
        at += length;
        depth = depth.saturating_add_signed(more);
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`, if the text begins with one.
fn dollars(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('$')?;
    let tag = inner.find('$')?;
    let is_tag = |c: char| c.is_alphanumeric() || c == '_';
    if !inner[..tag].chars().all(is_tag) || inner.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mark = &text[..tag + 2];
    let body = &text[mark.len()..];
    Some(body.find(mark).map_or(text.len(), |end| mark.len() + end + mark.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let all = read(text).statements;
        all.into_iter().map(|it| it.into_iter().map(|token| token.text).collect()).collect()
    }

    #[test]
    fn what_is_quoted_or_a_comment_is_no_statement() {
        let text = "-- DROP TABLE a;\n/* DROP /* TABLE */ b; */ SELECT 'it''s; DROP', E'\\'; x', \
                    \"Drop\"\"me;\", $$ DROP; $$, $x$ a $$ b; $x$, 1.5e3;\nCREATE\tTABLE Ärger (a int)";

        assert_eq!(
            words(text),
            [
                vec![
                    "select",
                    "'it''s; DROP'",
                    ",",
                    "E'\\'; x'",
                    ",",
                    "Drop\"me;",
                    ",",
                    "$$ DROP; $$",
                    ",",
                    "$x$ a $$ b; $x$",
                    ",",
                    "1.5e3",
                ],
                vec!["create", "table", "ärger", "(", "a", "int", ")"],
            ]
        );
        let script = read(text);
        assert_eq!(script.comments, [(1, "DROP TABLE a;".to_owned())]);
        assert_eq!(script.statements[1][0].line, 3);
    }

    #[test]
    fn what_is_not_closed_ends_with_the_file() {
        for text in
            ["SELECT 'a; b", "SELECT $a$ b; ", "SELECT \"a; b", "SELECT /* a; ", "SELECT $1; -"]
        {
            assert!(!read(text).statements.is_empty(), "{text}");
        }
        assert_eq!(words("SELECT $1, $2"), [["select", "$1", ",", "$2"]]);
        assert_eq!(words(""), Vec::<Vec<String>>::new());
    }
}
