//! Rows of a group, put together from the columns with texts.

use super::{
    Budget, ParquetError, damaged,
    footer::Group,
    pages::{Page, Pages},
    schema::{Column, Field},
};
use crate::corpus::document::{Document, Fields, Messages, Value};
use std::fs::File;

/// Reads a group of rows, row by row.
pub(super) struct Rows<'a> {
    columns: Vec<(&'a Column, Cells<'a>)>,
}

/// The values of a column.
struct Cells<'a> {
    pages: Pages<'a>,
    page: Option<Page>,
    /// The first of the next row, where only that ends a row.
    ahead: Option<Cell>,
}

/// A value with its levels.
struct Cell {
    repetition: u32,
    definition: u32,
    /// Where something is there.
    text: Option<String>,
}

impl<'a> Rows<'a> {
    pub fn new(file: &'a File, columns: &'a [Column], group: &Group) -> Self {
        let cells = |(column, chunk): (&'a Column, _)| {
            let pages = Pages::new(file, chunk, column.most);
            (column, Cells { pages, page: None, ahead: None })
        };
        Self { columns: columns.iter().zip(&group.chunks).map(cells).collect() }
    }

    /// The next row.
    pub fn row(&mut self, budget: &mut Budget) -> Result<Fields, ParquetError> {
        let mut fields = Fields::default();
        for (column, cells) in &mut self.columns {
            match column.field {
                Field::Text => fields.text = cells.value(column, budget)?,
                Field::Prompt => fields.prompt = cells.value(column, budget)?,
                Field::Completion => fields.completion = cells.value(column, budget)?,
                Field::Content => fields.content = cells.value(column, budget)?,
                Field::Messages | Field::Parts => fields.messages = cells.list(column, budget)?,
            }
        }
        Ok(fields)
    }

    /// Errors: there are values behind the last row.
    pub fn end(&mut self, budget: &mut Budget) -> Result<(), ParquetError> {
        for (column, cells) in &mut self.columns {
            if cells.ahead.is_some() || cells.next(column, budget)?.is_some() {
                return Err(damaged("a column goes on behind the last row"));
            }
        }
        Ok(())
    }
}

impl Cells<'_> {
    fn value(&mut self, column: &Column, budget: &mut Budget) -> Result<Value, ParquetError> {
        let cell = self.next(column, budget)?.ok_or_else(missing)?;
        Ok(cell.text.map_or(Value::Null, Value::Text))
    }

    /// The messages of a row: a cell for each, or for each of their parts.
    fn list(
        &mut self,
        column: &Column,
        budget: &mut Budget,
    ) -> Result<Option<Messages>, ParquetError> {
        let first = match self.ahead.take() {
            Some(cell) => cell,
            None => self.next(column, budget)?.ok_or_else(missing)?,
        };
        if first.repetition != 0 {
            return Err(damaged("a column begins inside a row"));
        }
        let there = first.definition >= column.levels.messages;
        let any = first.definition >= column.levels.entry;
        let mut messages = Messages::default();
        let mut content = any.then(|| content(first, column));
        while let Some(cell) = self.next(column, budget)? {
            match (cell.repetition, &mut content) {
                (0, _) => {
                    self.ahead = Some(cell);
                    break;
                }
                (2, Some(Value::Parts(parts))) if cell.definition >= column.levels.part => {
                    parts.push(part(cell));
                }
                (1, Some(before)) if cell.definition >= column.levels.entry => {
                    messages.push(std::mem::take(before));
                    *before = self::content(cell, column);
                }
                _ => return Err(damaged("its levels contradict each other")),
            }
        }
        content.into_iter().for_each(|last| messages.push(last));
        Ok(there.then_some(messages))
    }

    fn next(&mut self, column: &Column, budget: &mut Budget) -> Result<Option<Cell>, ParquetError> {
        while self.page.as_ref().is_none_or(|page| page.left == 0) {
            self.page = self.pages.next(budget)?;
            if self.page.is_none() {
                return Ok(None);
            }
        }
        let page = self.page.as_mut().expect("it was just looked for");
        page.left -= 1;
        let repetition = page.repetition.next(&page.bytes)?;
        let definition = page.definition.next(&page.bytes)?;
        if repetition > column.most.repetition || definition > column.most.definition {
            return Err(damaged("a level is out of range"));
        }
        let mut text = None;
        if definition == column.most.definition {
            let bytes = page.values.next(&page.bytes, &self.pages.dictionary)?;
            budget.text(bytes.len() as u64)?;
            text = Some(utf8(bytes)?);
        } else {
            budget.text(0)?;
        }
        Ok(Some(Cell { repetition, definition, text }))
    }
}

/// The content that a cell says of its message.
fn content(cell: Cell, column: &Column) -> Value {
    let levels = column.levels;
    match cell.definition {
        level if level < levels.message => Value::Other,
        level if level < levels.content => Value::Null,
        _ if column.field == Field::Messages => cell.text.map_or(Value::Null, Value::Text),
        level => {
            let mut parts = Document::default();
            if level >= levels.part {
                parts.push(part(cell));
            }
            Value::Parts(parts)
        }
    }
}

fn part(cell: Cell) -> Value {
    cell.text.map_or(Value::Null, Value::Text)
}

fn utf8(bytes: &[u8]) -> Result<String, ParquetError> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|e| ParquetError::NotUtf8(e.valid_up_to()))
}

fn missing() -> ParquetError {
    damaged("a column ends before the last row")
}
