//! Which columns of a Parquet file hold the texts, and how they are nested.

use super::{ParquetError, damaged};
use std::collections::BTreeSet;

/// Deepest nesting of a schema.
const MAX_DEPTH: u32 = 64;
/// Names of the columns that texts are looked for in.
const KNOWN: [&str; 5] = ["text", "prompt", "completion", "content", "messages"];
/// So many names of columns are told.
const NAMES: usize = 12;

/// An element of a schema as it stands in the file: a node, before its children.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub name: String,
    /// The number of its physical type; groups have none.
    pub physical: Option<i64>,
    pub repetition: i64,
    pub children: i64,
}

/// A column of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub field: Field,
    /// Its number among the columns of the file.
    pub leaf: usize,
    /// Levels from which on something is there.
    pub levels: Levels,
    pub most: Level,
}

/// What a column is of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Text,
    Prompt,
    Completion,
    Content,
    /// The contents of messages.
    Messages,
    /// The texts of parts of messages.
    Parts,
}

/// Definition levels from which on there is: the list of messages, a message in it, the message
/// itself, its content, a part in that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Levels {
    pub messages: u32,
    pub entry: u32,
    pub message: u32,
    pub content: u32,
    pub part: u32,
}

/// Levels of a node: how many of those above it may be absent, and are repeated, with itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub definition: u32,
    pub repetition: u32,
}

/// A node with its children.
#[derive(Debug)]
struct Node {
    name: String,
    /// Of a column: its number, and whether it holds bytes.
    leaf: Option<(usize, bool)>,
    repeated: bool,
    level: Level,
    children: Vec<Node>,
}

/// The columns with texts, and how many columns there are in all.
///
/// Errors: there are none, or the schema is none.
pub(super) fn columns(elements: Vec<Element>) -> Result<(Vec<Column>, usize), ParquetError> {
    let mut tree = Tree { elements: elements.into_iter(), leaves: 0 };
    let root = tree.elements.next().ok_or_else(|| damaged("it has no schema"))?;
    let root = tree.node(root, None, 0)?;
    if tree.elements.next().is_some() {
        return Err(damaged("its schema has elements outside of it"));
    }
    let columns: Vec<Column> = root.children.iter().filter_map(column).collect();
    if let Some(twice) = twice(&root, &columns) {
        return Err(ParquetError::Twice(twice));
    }
    let has = |field| columns.iter().any(|column| column.field == field);
    let whole = [Field::Text, Field::Content, Field::Messages, Field::Parts];
    if whole.into_iter().any(has) || (has(Field::Prompt) && has(Field::Completion)) {
        return Ok((columns, tree.leaves));
    }
    // A prompt alone may well be text; what is missing is its completion.
    let other = |node: &&Node| KNOWN.contains(&node.name.as_str()) && column(node).is_none();
    let no_texts = root.children.iter().filter(other).map(|node| node.name.clone());
    let no_texts = no_texts.take(NAMES).collect();
    let columns = root.children.into_iter().map(|node| node.name).take(NAMES).collect();
    Err(ParquetError::NoText { columns, no_texts })
}

/// A name that two columns with texts share.
fn twice(root: &Node, columns: &[Column]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let first = columns.iter().find(|column| !seen.insert(column.field))?;
    let same = |node: &&Node| column(node).is_some_and(|other| other.field == first.field);
    root.children.iter().find(same).map(|node| node.name.clone())
}

/// The column of texts that a node of the first level is, or has.
fn column(node: &Node) -> Option<Column> {
    let field = match node.name.as_str() {
        "text" => Field::Text,
        "prompt" => Field::Prompt,
        "completion" => Field::Completion,
        "content" => Field::Content,
        "messages" => return messages(node),
        _ => return None,
    };
    let leaf = node.text()?;
    Some(Column { field, leaf, levels: Levels::default(), most: node.level })
}

fn messages(node: &Node) -> Option<Column> {
    let (entry, message) = node.item()?;
    let content = message.children.iter().find(|child| child.name == "content")?;
    let mut levels = Levels {
        messages: node.level.definition - u32::from(node.repeated),
        entry: entry.level.definition,
        message: message.level.definition,
        content: content.level.definition,
        part: 0,
    };
    if let Some(leaf) = content.text() {
        return Some(Column { field: Field::Messages, leaf, levels, most: content.level });
    }
    let (entry, part) = content.item()?;
    levels.content -= u32::from(content.repeated);
    levels.part = entry.level.definition;
    let in_part = || part.children.iter().find(|child| child.name == "text");
    let text = if part.leaf.is_some() { Some(part) } else { in_part() }?;
    // A part that is itself the repeated node is a text, too.
    let leaf = text.leaf.filter(|(_, bytes)| *bytes && text.level.repetition == 2)?.0;
    Some(Column { field: Field::Parts, leaf, levels, most: text.level })
}

impl Node {
    /// Its column, if it is one of texts.
    fn text(&self) -> Option<usize> {
        self.leaf.filter(|(_, bytes)| *bytes && !self.repeated).map(|(leaf, _)| leaf)
    }

    /// Of a list: what is repeated, and the item that this is or has. Lists are written in three
    /// ways; the format's rules tell them apart.
    fn item(&self) -> Option<(&Node, &Node)> {
        if self.repeated {
            return Some((self, self));
        }
        let [entry] = self.children.as_slice() else { return None };
        let tuple = || entry.name == "array" || entry.name == format!("{}_tuple", self.name);
        match entry.children.as_slice() {
            _ if !entry.repeated => None,
            [item] if !tuple() => Some((entry, item)),
            _ => Some((entry, entry)),
        }
    }
}

struct Tree {
    elements: std::vec::IntoIter<Element>,
    leaves: usize,
}

impl Tree {
    fn node(
        &mut self,
        element: Element,
        above: Option<Level>,
        depth: u32,
    ) -> Result<Node, ParquetError> {
        if depth > MAX_DEPTH {
            return Err(damaged("its schema is nested too deeply"));
        }
        let root = above.is_none();
        let level = above.unwrap_or_default();
        let (optional, repeated) = match element.repetition {
            _ if root => (false, false),
            0 => (false, false),
            1 => (true, false),
            2 => (false, true),
            _ => return Err(damaged("its schema has an unknown repetition")),
        };
        let level = Level {
            definition: level.definition + u32::from(optional || repeated),
            repetition: level.repetition + u32::from(repeated),
        };
        let leaf = element.physical.filter(|_| !root).map(|physical| {
            self.leaves += 1;
            (self.leaves - 1, physical == BYTE_ARRAY)
        });
        let number = if leaf.is_some() { 0 } else { element.children };
        let mut children = Vec::new();
        for _ in 0..number {
            let child = self.elements.next().ok_or_else(|| damaged("its schema is cut off"))?;
            children.push(self.node(child, Some(level), depth + 1)?);
        }
        Ok(Node { name: element.name, leaf, repeated, level, children })
    }
}

/// The physical type of texts.
const BYTE_ARRAY: i64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn element(name: &str, repetition: i64, children: i64) -> Element {
        let physical = (children == 0).then_some(BYTE_ARRAY);
        Element { name: name.to_owned(), physical, repetition, children }
    }

    fn only(elements: Vec<Element>) -> Column {
        let (columns, _) = columns(elements).expect("it has texts");
        let [column] = <[Column; 1]>::try_from(columns).expect("one");
        column
    }

    #[test]
    fn lists_are_understood_in_every_way_of_writing_them() {
        let (required, optional, repeated) = (0, 1, 2);
        let three = only(vec![
            element("schema", required, 1),
            element("messages", optional, 1),
            element("list", repeated, 1),
            element("element", optional, 2),
            element("role", optional, 0),
            element("content", optional, 0),
        ]);
        let levels = Levels { messages: 1, entry: 2, message: 3, content: 4, part: 0 };
        let most = Level { definition: 4, repetition: 1 };
        assert_eq!(three, Column { field: Field::Messages, leaf: 1, levels, most });
        let two = only(vec![
            element("schema", required, 1),
            element("messages", optional, 1),
            element("array", repeated, 1),
            element("content", required, 0),
        ]);
        let levels = Levels { messages: 1, entry: 2, message: 2, content: 2, part: 0 };
        let most = Level { definition: 2, repetition: 1 };
        assert_eq!(two, Column { field: Field::Messages, leaf: 0, levels, most });
        let one = only(vec![
            element("schema", required, 1),
            element("messages", repeated, 1),
            element("content", optional, 0),
        ]);
        let levels = Levels { messages: 0, entry: 1, message: 1, content: 2, part: 0 };
        let most = Level { definition: 2, repetition: 1 };
        assert_eq!(one, Column { field: Field::Messages, leaf: 0, levels, most });
    }

    #[test]
    fn a_schema_that_is_none_or_has_no_text_is_an_error() {
        let (required, optional) = (0, 1);
        let deep = (0..999).map(|_| element("x", optional, 1)).collect();
        assert!(columns(deep).is_err_and(|e| e.to_string().contains("deeply")));
        assert!(columns(Vec::new()).is_err());
        assert!(columns(vec![element("schema", required, i64::MAX)]).is_err());
        let none = columns(vec![element("schema", required, 1), element("title", optional, 0)]);
        assert!(none.is_err_and(|e| e.to_string().contains("title")));
        let prompt = columns(vec![element("schema", required, 1), element("prompt", required, 0)]);
        assert!(prompt.is_err(), "a prompt needs a completion");
    }

    #[test]
    fn two_columns_that_could_be_the_text_are_an_error() {
        let text = || element("text", 0, 0);
        let twice = columns(vec![element("schema", 0, 3), text(), element("title", 0, 0), text()]);
        assert!(twice.is_err_and(|e| e.to_string().contains("\"text\"")));
    }
}
