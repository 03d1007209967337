//! Path templates, as `google/api/http.proto` defines them.
//!
//! ```text
//! Template  = "/" Segments [ Verb ]
//! Segments  = Segment { "/" Segment }
//! Segment   = "*" | "**" | LITERAL | Variable
//! Variable  = "{" FieldPath [ "=" Segments ] "}"
//! FieldPath = IDENT { "." IDENT }
//! Verb      = ":" LITERAL
//! ```

use std::{fmt, ops::Range, str::FromStr};

/// A path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<String>,
}

/// What one part of a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Any one segment (`*`).
    One,
    /// Any number of segments, none too (`**`); always the last.
    Many,
}

/// A part of a path that is a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The field: names with dots between them.
    pub field: String,
    /// Which of the template's segments are its value.
    pub segments: Range<usize>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}, at character {at} of `{text}`")]
pub struct Malformed {
    text: String,
    at: usize,
    why: &'static str,
}

impl Template {
    /// What the path must be, from left to right.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What of it are values of fields, from left to right.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What stands behind the last segment's colon.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// Whether the value of `variable` may have slashes in it, which decides how it is decoded.
    pub fn is_multi(&self, variable: &Variable) -> bool {
        variable.segments.len() != 1 || self.segments[variable.segments.start] == Segment::Many
    }

    /// Which segments of a path with `count` of them are the value of `variable`.
    pub(crate) fn value(&self, variable: &Variable, count: usize) -> Range<usize> {
        let Range { start, end } = variable.segments;
        let is_open = self.segments[variable.segments.clone()].last() == Some(&Segment::Many);
        start..if is_open { count } else { end }
    }
}

impl FromStr for Template {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parser = Parser { text, at: 0, segments: Vec::new(), variables: Vec::new() };
        match parser.template() {
            Ok(verb) => Ok(Self { segments: parser.segments, variables: parser.variables, verb }),
            Err(why) => Err(Malformed { text: text.to_owned(), at: parser.at, why }),
        }
    }
}

impl fmt::Display for Template {
    /// In its shortest form: `{name}` for `{name=*}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut variables = self.variables.iter().peekable();
        let mut at = 0;
        while at < self.segments.len() {
            f.write_str("/")?;
            match variables.next_if(|variable| variable.segments.start == at) {
                Some(variable) => {
                    let inner = &self.segments[variable.segments.clone()];
                    write!(f, "{{{}", variable.field)?;
                    if inner != [Segment::One] {
                        let inner: Vec<_> = inner.iter().map(Segment::to_string).collect();
                        write!(f, "={}", inner.join("/"))?;
                    }
                    f.write_str("}")?;
                    at = variable.segments.end;
                }
                None => {
                    write!(f, "{}", self.segments[at])?;
                    at += 1;
                }
            }
        }
        self.verb.iter().try_for_each(|verb| write!(f, ":{verb}"))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal(text) => text,
            Self::One => "*",
            Self::Many => "**",
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl Parser<'_> {
    fn template(&mut self) -> Result<Option<String>, &'static str> {
        self.expect('/', "a template begins with `/`")?;
        self.all_segments(true)?;
        let verb = if self.take(':') { Some(self.literal()?) } else { None };
        if self.at < self.text.len() {
            return Err("nothing may follow here");
        }
        let many = self.segments.iter().position(|segment| *segment == Segment::Many);
        if many.is_some_and(|at| at + 1 < self.segments.len()) {
            return Err("`**` must be the last segment");
        }
        Ok(verb)
    }

    fn all_segments(&mut self, variables: bool) -> Result<(), &'static str> {
        loop {
            self.segment(variables)?;
            if !self.take('/') {
                return Ok(());
            }
        }
    }

    fn segment(&mut self, variables: bool) -> Result<(), &'static str> {
        if self.take('{') {
            if !variables {
                return Err("a variable cannot be in another");
            }
            return self.variable();
        }
        let segment = if !self.take('*') {
            Segment::Literal(self.literal()?)
        } else if self.take('*') {
            Segment::Many
        } else {
            Segment::One
        };
        self.segments.push(segment);
        Ok(())
    }

    fn variable(&mut self) -> Result<(), &'static str> {
        let begin = self.at;
        loop {
            self.identifier()?;
            if !self.take('.') {
                break;
            }
        }
        let field = self.text[begin..self.at].to_owned();
        if self.variables.iter().any(|known| known.field == field) {
            return Err("the field is there twice");
        }
        let start = self.segments.len();
        if self.take('=') {
            self.all_segments(false)?;
        } else {
            self.segments.push(Segment::One);
        }
        self.expect('}', "a variable ends with `}`")?;
        self.variables.push(Variable { field, segments: start..self.segments.len() });
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), &'static str> {
        if self.peek().is_none_or(|c| !c.is_ascii_alphabetic() && c != '_') {
            return Err("a field's name begins with a letter");
        }
        self.skip(|c| c.is_ascii_alphanumeric() || c == '_');
        Ok(())
    }

    fn literal(&mut self) -> Result<String, &'static str> {
        let begin = self.at;
        self.skip(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c));
        match &self.text[begin..self.at] {
            "" => Err("there must be letters, digits or one of `-_.~`"),
            text => Ok(text.to_owned()),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip(&mut self, fits: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|c| !fits(c)).unwrap_or(rest.len());
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: char, why: &'static str) -> Result<(), &'static str> {
        if self.take(wanted) { Ok(()) } else { Err(why) }
    }
}
