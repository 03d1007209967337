//! A template as OpenAPI writes paths: every open segment has a name of its own.

use std::fmt;

use crate::{Segment, Template};

/// A path with a name for each segment that is open, such as `/v1/shelves/{shelf}/books/{book}`.
pub(super) struct Path {
    /// What stands before, between and behind the open segments.
    fixed: Vec<String>,
    /// The open segments, from left to right.
    pub(super) open: Vec<Open>,
}

/// An open segment.
pub(super) struct Open {
    pub(super) name: String,
    /// The number of the template's variable that it belongs to; its own wildcards have none.
    pub(super) variable: Option<usize>,
    /// Whether it is all of that variable.
    pub(super) is_whole: bool,
}

impl Path {
    pub(super) fn of(template: &Template) -> Self {
        let mut path = Self { fixed: Vec::new(), open: Vec::new() };
        let mut fixed = String::new();
        for (at, segment) in template.segments().iter().enumerate() {
            fixed.push('/');
            match segment {
                Segment::Literal(text) => fixed.push_str(text),
                _ => {
                    path.fixed.push(std::mem::take(&mut fixed));
                    path.open.push(path.open(template, at));
                }
            }
        }
        fixed.extend(template.verb().map(|verb| format!(":{verb}")));
        path.fixed.push(fixed);
        path
    }

    /// What it has in common with paths that have other names for the same segments.
    pub(super) fn shape(&self) -> String {
        self.fixed.join("{}")
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.open.iter().map(|open| open.name.clone()).collect()
    }

    /// Takes the names of a path of the same shape.
    pub(super) fn adopt(&mut self, names: &[String]) {
        for (open, name) in self.open.iter_mut().zip(names) {
            open.name.clone_from(name);
        }
    }

    /// Names the segment `at`: as its field if that is all of it, else as one of what the literal
    /// before it has many of.
    fn open(&self, template: &Template, at: usize) -> Open {
        let variables = template.variables();
        let variable = variables.iter().position(|variable| variable.segments.contains(&at));
        let of = variable.map(|number| &variables[number]);
        let is_whole = of.is_some_and(|of| of.segments.len() == 1);
        let before = at.checked_sub(1).map(|before| &template.segments()[before]);
        let name = match (of, before) {
            (Some(of), _) if is_whole => of.field.clone(),
            (_, Some(Segment::Literal(many))) => singular(many),
            (Some(of), _) => of.field.replace('.', "_"),
            (None, _) => "segment".to_owned(),
        };
        let known = |name: &str| self.open.iter().any(|open| open.name == name);
        // What is all of a later segment keeps its name for it.
        let taken = |name: &str| {
            let of_whole = |it: &&crate::Variable| it.segments.len() == 1 && it.field == name;
            known(name) || (!is_whole && variables.iter().any(|it| of_whole(&it)))
        };
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let name = names.find(|name| !taken(name)).unwrap_or(name);
        Open { name, variable, is_whole }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fixed, open) in self.fixed.iter().zip(&self.open) {
            write!(f, "{fixed}{{{}}}", open.name)?;
        }
        self.fixed.last().map_or(Ok(()), |last| f.write_str(last))
    }
}

/// One of many: `shelf` of `shelves`, `category` of `categories`, `book` of `books`.
fn singular(many: &str) -> String {
    let one = match many {
        _ if many.ends_with("ss") => many.to_owned(),
        _ => [("ies", "y"), ("ves", "f"), ("s", "")]
            .iter()
            .find_map(|(end, one)| many.strip_suffix(end).map(|stem| format!("{stem}{one}")))
            .unwrap_or_else(|| many.to_owned()),
    };
    one.replace(['-', '.', '~'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_segment_has_a_name_of_its_own() {
        for (template, path) in [
            ("/v1/orders/{order_id}:watch", "/v1/orders/{order_id}:watch"),
            ("/v1/{book=shelves/*/books/*}", "/v1/shelves/{shelf}/books/{book}"),
            ("/v1/{name=categories/*}/items/{item}", "/v1/categories/{category}/items/{item}"),
            ("/v1/{a=items/*}/{item}", "/v1/items/{item_2}/{item}"),
            ("/v1/{a=x/*/x/*}", "/v1/x/{x}/x/{x_2}"),
            ("/v1/{a=press/*/**}", "/v1/press/{press}/{a}"),
            ("/v1/{path=**}", "/v1/{path}"),
            ("/*/b", "/{segment}/b"),
            ("/v1/{a.b}/gift-cards/*", "/v1/{a.b}/gift-cards/{gift_card}"),
        ] {
            assert_eq!(Path::of(&template.parse().unwrap()).to_string(), path, "{template}");
        }
    }

    #[test]
    fn paths_of_one_shape_share_names() {
        let first = Path::of(&"/v1/{a=items/*}:show".parse().unwrap());
        let mut second = Path::of(&"/v1/items/{number}:show".parse().unwrap());
        assert_eq!(first.shape(), second.shape());

        second.adopt(&first.names());
        assert_eq!(second.to_string(), "/v1/items/{item}:show");
    }

    #[test]
    fn a_segment_knows_its_variable() {
        let path = Path::of(&"/v1/{a=x/*}/{b}/*".parse().unwrap());
        let open: Vec<_> = path.open.iter().map(|open| (open.variable, open.is_whole)).collect();
        assert_eq!(open, [(Some(0), false), (Some(1), true), (None, false)]);
    }
}
