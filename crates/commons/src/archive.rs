//! The log on disk: statements, the nodes of their tree, checkpoints, and what still waits for a
//! place in the log. One redb file: a change is there whole or not at all, whatever crashes.

use crate::{Statement, StatementError, receipt::Receipt};
use ids::Hash;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};
use std::{ops::Range, path::Path};
use tlog::{Hash as TreeHash, Nodes, SignedCheckpoint, TreeError};

/// Index in the log → the statement's bytes.
const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
/// Level and index in the tree → the node's hash.
const NODES: TableDefinition<(u8, u64), [u8; 32]> = TableDefinition::new("nodes");
/// A statement's hash → its index.
const PLACES: TableDefinition<[u8; 32], u64> = TableDefinition::new("places");
/// Size → the signed checkpoint of that size, with the cosignatures that are known.
const CHECKPOINTS: TableDefinition<u64, &str> = TableDefinition::new("checkpoints");
/// A waiting statement's hash → how many checkpoints there were when it came, and its bytes.
const PENDING: TableDefinition<[u8; 32], (u64, &[u8])> = TableDefinition::new("pending");
/// A waiting statement's hash → the operator's receipt for it.
const RECEIPTS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("receipts");
/// Facts of a witness or member that must outlive a crash, by name.
const FACTS: TableDefinition<&str, &[u8]> = TableDefinition::new("facts");

/// Statements that may wait at a time, all authors together.
pub const MAX_PENDING: u64 = 16_384;

/// The log of one commons, as one member has it.
pub struct Archive {
    db: Database,
    genesis: Statement,
    id: Hash,
}

/// Why the log on disk cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file, the disk or the database.
    #[error("the log's file: {0}")]
    Database(String),
    /// Another process has the file open.
    #[error("another process has the log's file open")]
    Busy,
    /// No commons is kept there.
    #[error("there is no genesis in this log's file")]
    Empty,
    /// There is one already.
    #[error("this file keeps the log of commons {0} already")]
    Exists(Hash),
    /// A statement that cannot be read: the file was changed by something else.
    #[error("statement {index} of the log: {why}")]
    Statement {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        why: StatementError,
    },
    /// A statement is asked for that is not there.
    #[error("statement {index} of a log of {size}")]
    Missing {
        /// Its index.
        index: u64,
        /// Statements there are.
        size: u64,
    },
    /// A statement of another commons, or a second genesis.
    #[error("statement {0} is of another commons")]
    Foreign(Hash),
    /// The same statement a second time.
    #[error("statement {0} is in the log already")]
    Twice(Hash),
    /// The tree.
    #[error("the log's tree: {0}")]
    Tree(String),
    /// A checkpoint that does not fit what is kept.
    #[error("a checkpoint of size {size} {why}")]
    Checkpoint {
        /// Its size.
        size: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Too many statements wait.
    #[error("{MAX_PENDING} statements wait for a place in the log already")]
    Full,
}

impl<E: std::fmt::Display> From<TreeError<E>> for ArchiveError {
    fn from(e: TreeError<E>) -> Self {
        Self::Tree(e.to_string())
    }
}

/// redb has one error type for each step; which one it was matters to nobody.
macro_rules! database_errors {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for ArchiveError {
            fn from(e: redb::$error) -> Self {
                Self::Database(e.to_string())
            }
        })*
    };
}
database_errors!(TransactionError, TableError, StorageError, CommitError);

impl From<redb::DatabaseError> for ArchiveError {
    fn from(e: redb::DatabaseError) -> Self {
        match e {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::Busy,
            e => Self::Database(e.to_string()),
        }
    }
}

/// A statement that waits for a place in the log.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The statement.
    pub statement: Statement,
    /// How many checkpoints were known when it came.
    pub since: u64,
    /// The operator's receipt for it, if it gave one.
    pub receipt: Option<Receipt>,
}

impl Archive {
    /// Begins a log in a new file.
    ///
    /// Errors: the file keeps a log already, `genesis` is none, or the file cannot be written.
    pub fn create(path: &Path, genesis: &Statement) -> Result<Self, ArchiveError> {
        Self::begin(Database::create(path)?, genesis)
    }

    /// Opens a log.
    ///
    /// Errors: no log is kept there, or the file cannot be read.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::continued(Database::open(path)?)
    }

    /// [`Self::create`] or [`Self::open`] on another storage than a file.
    pub fn with_backend(
        backend: impl StorageBackend,
        genesis: Option<&Statement>,
    ) -> Result<Self, ArchiveError> {
        let db = Database::builder().create_with_backend(backend)?;
        match genesis {
            Some(genesis) => Self::begin(db, genesis),
            None => Self::continued(db),
        }
    }

    fn begin(db: Database, genesis: &Statement) -> Result<Self, ArchiveError> {
        let id = genesis.commons_id().ok_or(ArchiveError::Empty)?;
        let write = db.begin_write()?;
        open_tables(&write)?;
        if let Some(first) = write.open_table(ENTRIES)?.get(0)? {
            let known = Statement::parse_unsigned(first.value())
                .map_err(|why| ArchiveError::Statement { index: 0, why })?;
            return Err(ArchiveError::Exists(known.commons_id().unwrap_or_default()));
        }
        append(&write, id, std::slice::from_ref(genesis))?;
        write.commit()?;
        Ok(Self { db, genesis: genesis.clone(), id })
    }

    fn continued(db: Database) -> Result<Self, ArchiveError> {
        let genesis = {
            let read = db.begin_read()?;
            let entries = match read.open_table(ENTRIES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Err(ArchiveError::Empty),
                table => table?,
            };
            let first = entries.get(0)?.ok_or(ArchiveError::Empty)?;
            Statement::parse_unsigned(first.value())
                .map_err(|why| ArchiveError::Statement { index: 0, why })?
        };
        let id = genesis.commons_id().ok_or(ArchiveError::Empty)?;
        Ok(Self { db, genesis, id })
    }

    /// The commons' id.
    pub fn id(&self) -> Hash {
        self.id
    }

    /// The first statement.
    pub fn genesis(&self) -> &Statement {
        &self.genesis
    }

    /// The C2SP origin of this log.
    pub fn origin(&self) -> String {
        origin(&self.id)
    }

    /// The log as it is now; what others append meanwhile does not show in it.
    ///
    /// Errors: the file cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, ArchiveError> {
        let read = self.db.begin_read()?;
        Snapshot::open(&read)
    }

    /// Appends statements in order and returns the new size. Either all or none are in the log
    /// after it; those that waited do so until a checkpoint covers them. Signatures are the
    /// caller's to have checked.
    ///
    /// Errors: a statement of another commons or in the log already; the file cannot be written.
    pub fn append(&self, statements: &[Statement]) -> Result<u64, ArchiveError> {
        let write = self.db.begin_write()?;
        let size = append(&write, self.id, statements)?;
        write.commit()?;
        Ok(size)
    }

    /// Appends statements that another member sent, if with them the log has the root of
    /// `checkpoint`, and keeps the checkpoint.
    ///
    /// Errors: as [`Self::append`]; the root differs, and nothing is changed.
    pub fn adopt(
        &self,
        statements: &[Statement],
        checkpoint: &SignedCheckpoint,
    ) -> Result<u64, ArchiveError> {
        let write = self.db.begin_write()?;
        let size = append(&write, self.id, statements)?;
        keep_checkpoint(&write, checkpoint)?;
        write.commit()?;
        Ok(size)
    }

    /// Forgets statements beyond the newest checkpoint: the beginning of a range whose head turned
    /// out to be nobody's. Those of them that waited here wait again.
    ///
    /// Errors: the file cannot be written.
    pub fn cut_back(&self) -> Result<u64, ArchiveError> {
        let write = self.db.begin_write()?;
        let size = write.open_table(CHECKPOINTS)?.last()?.map_or(1, |(size, _)| size.value());
        cut(&write, size)?;
        write.commit()?;
        Ok(size)
    }

    /// Takes statements from `size` on out of the log, and the checkpoints that cover them: they
    /// were of a history that is not to be followed any more. They wait again, as many as may.
    ///
    /// Errors: the file cannot be written; `size` leaves no genesis.
    pub fn roll_back(&self, size: u64) -> Result<(), ArchiveError> {
        let write = self.db.begin_write()?;
        if size == 0 {
            return Err(ArchiveError::Empty);
        }
        write.open_table(CHECKPOINTS)?.retain_in(size + 1.., |_, _| false)?;
        let gone = cut(&write, size)?;
        {
            let since = redb::ReadableTableMetadata::len(&write.open_table(CHECKPOINTS)?)?;
            let mut pending = write.open_table(PENDING)?;
            for bytes in gone {
                if redb::ReadableTableMetadata::len(&pending)? >= MAX_PENDING {
                    break;
                }
                pending.insert(Hash::of(&bytes).0, (since, bytes.as_slice()))?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Keeps a checkpoint whose size the log has; signatures that were known for that size stay.
    ///
    /// Errors: the log is shorter, or has another root at that size.
    pub fn keep_checkpoint(&self, checkpoint: &SignedCheckpoint) -> Result<(), ArchiveError> {
        let write = self.db.begin_write()?;
        keep_checkpoint(&write, checkpoint)?;
        write.commit()?;
        Ok(())
    }

    /// Keeps a statement until it has its place in the log. Whether it was new.
    ///
    /// Errors: another commons' statement; too many wait already.
    pub fn hold(&self, statement: &Statement) -> Result<bool, ArchiveError> {
        Ok(self.hold_all(std::slice::from_ref(statement))? == 1)
    }

    /// [`Self::hold`] of several in one change: all of them or none. How many were new.
    ///
    /// Errors: as [`Self::hold`].
    pub fn hold_all(&self, statements: &[Statement]) -> Result<usize, ArchiveError> {
        if let Some(foreign) = statements.iter().find(|s| s.log != self.id) {
            return Err(ArchiveError::Foreign(foreign.hash()));
        }
        let write = self.db.begin_write()?;
        let mut new = 0;
        {
            let mut pending = write.open_table(PENDING)?;
            let places = write.open_table(PLACES)?;
            let since = redb::ReadableTableMetadata::len(&write.open_table(CHECKPOINTS)?)?;
            for statement in statements {
                let key = statement.hash().0;
                if places.get(key)?.is_some() || pending.get(key)?.is_some() {
                    continue;
                }
                if redb::ReadableTableMetadata::len(&pending)? >= MAX_PENDING {
                    return Err(ArchiveError::Full);
                }
                pending.insert(key, (since, statement.bytes()))?;
                new += 1;
            }
        }
        write.commit()?;
        Ok(new)
    }

    /// Forgets a waiting statement that can have no place in the log any more.
    ///
    /// Errors: the file cannot be written.
    pub fn drop_pending(&self, hashes: &[Hash]) -> Result<(), ArchiveError> {
        let write = self.db.begin_write()?;
        {
            let mut pending = write.open_table(PENDING)?;
            let mut receipts = write.open_table(RECEIPTS)?;
            for hash in hashes {
                pending.remove(hash.0)?;
                receipts.remove(hash.0)?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Keeps receipts for statements that wait here; their signatures are the caller's to have
    /// checked. Of two by one operator the earlier one stays;
    /// of two operators that of the later. How many were new.
    ///
    /// Errors: the file cannot be written.
    pub fn keep_receipts(&self, receipts: &[Receipt]) -> Result<usize, ArchiveError> {
        let write = self.db.begin_write()?;
        let mut new = 0;
        {
            let pending = write.open_table(PENDING)?;
            let mut kept = write.open_table(RECEIPTS)?;
            for receipt in receipts.iter().filter(|receipt| receipt.log == self.id) {
                let hash = receipt.statement.0;
                let known =
                    kept.get(hash)?.and_then(|bytes| Receipt::parse_unsigned(bytes.value()).ok());
                let better = known.is_none_or(|known| {
                    let same = known.operator == receipt.operator;
                    same == (receipt.size < known.size) && receipt.size != known.size
                });
                if better && pending.get(hash)?.is_some() {
                    kept.insert(hash, receipt.to_bytes().as_slice())?;
                    new += 1;
                }
            }
        }
        write.commit()?;
        Ok(new)
    }

    /// Changes the fact under a name in one step, which no other change comes between: `change` gets
    /// what is kept, and returns what the caller gets and what shall be kept instead, if anything.
    /// The caller gets it only once that is durable.
    ///
    /// Errors: `change` has one, or the file cannot be written. Then the fact stays as it was.
    pub fn change_fact<T, E: From<ArchiveError>>(
        &self,
        name: &str,
        change: impl FnOnce(Option<&[u8]>) -> Result<(T, Option<Vec<u8>>), E>,
    ) -> Result<T, E> {
        let write = self.db.begin_write().map_err(ArchiveError::from)?;
        let changed = {
            let mut facts = write.open_table(FACTS).map_err(ArchiveError::from)?;
            let kept = facts.get(name).map_err(ArchiveError::from)?;
            let (result, keep) = change(kept.as_ref().map(|value| value.value()))?;
            drop(kept);
            if let Some(value) = &keep {
                facts.insert(name, value.as_slice()).map_err(ArchiveError::from)?;
            }
            (result, keep.is_some())
        };
        if changed.1 {
            write.commit().map_err(ArchiveError::from)?;
        }
        Ok(changed.0)
    }

    /// The fact under a name.
    ///
    /// Errors: the file cannot be read.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let read = self.db.begin_read()?;
        Ok(read.open_table(FACTS)?.get(name)?.map(|value| value.value().to_vec()))
    }
}

/// The C2SP origin of the commons `id`.
pub fn origin(id: &Hash) -> String {
    format!("understory/commons/{id}")
}

/// The log at one moment.
pub struct Snapshot {
    entries: ReadOnlyTable<u64, &'static [u8]>,
    nodes: ReadOnlyTable<(u8, u64), [u8; 32]>,
    places: ReadOnlyTable<[u8; 32], u64>,
    checkpoints: ReadOnlyTable<u64, &'static str>,
    pending: ReadOnlyTable<[u8; 32], (u64, &'static [u8])>,
    /// None in a file of an earlier program that was not written since.
    receipts: Option<ReadOnlyTable<[u8; 32], &'static [u8]>>,
    size: u64,
}

impl Snapshot {
    fn open(read: &ReadTransaction) -> Result<Self, ArchiveError> {
        let entries = read.open_table(ENTRIES)?;
        Ok(Self {
            size: next_index(&entries)?,
            entries,
            nodes: read.open_table(NODES)?,
            places: read.open_table(PLACES)?,
            checkpoints: read.open_table(CHECKPOINTS)?,
            pending: read.open_table(PENDING)?,
            receipts: match read.open_table(RECEIPTS) {
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                table => Some(table?),
            },
        })
    }

    /// Statements in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over the first `size` statements.
    ///
    /// Errors: the log is shorter.
    pub fn root_at(&self, size: u64) -> Result<TreeHash, ArchiveError> {
        if size > self.size {
            return Err(ArchiveError::Missing { index: size - 1, size: self.size });
        }
        Ok(tlog::root(size, self)?)
    }

    /// The bytes of statement `index`.
    ///
    /// Errors: the log is shorter.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, ArchiveError> {
        let entry = self.entries.get(index)?;
        let missing = ArchiveError::Missing { index, size: self.size };
        Ok(entry.ok_or(missing)?.value().to_vec())
    }

    /// The statement at `index`.
    ///
    /// Errors: the log is shorter, or what is there is no statement.
    pub fn statement(&self, index: u64) -> Result<Statement, ArchiveError> {
        Statement::parse_unsigned(&self.entry(index)?)
            .map_err(|why| ArchiveError::Statement { index, why })
    }

    /// The bytes of a range of statements, in order.
    ///
    /// Errors: the file cannot be read.
    pub fn entries(
        &self,
        range: Range<u64>,
    ) -> Result<impl Iterator<Item = Result<Vec<u8>, ArchiveError>>, ArchiveError> {
        let entries = self.entries.range(range)?;
        Ok(entries.map(|entry| Ok(entry?.1.value().to_vec())))
    }

    /// Where a statement stands.
    ///
    /// Errors: the file cannot be read.
    pub fn place(&self, hash: &Hash) -> Result<Option<u64>, ArchiveError> {
        Ok(self.places.get(hash.0)?.map(|index| index.value()))
    }

    /// The checkpoint of the largest size.
    ///
    /// Errors: the file cannot be read, or holds no checkpoint where one should be.
    pub fn latest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, ArchiveError> {
        match self.checkpoints.last()? {
            Some((size, note)) => parse_checkpoint(size.value(), note.value()).map(Some),
            None => Ok(None),
        }
    }

    /// The checkpoint of the largest size that is at most `size`.
    ///
    /// Errors: as [`Self::latest_checkpoint`].
    pub fn checkpoint_before(&self, size: u64) -> Result<Option<SignedCheckpoint>, ArchiveError> {
        match self.checkpoints.range(..=size)?.next_back() {
            Some(entry) => {
                let (size, note) = entry?;
                parse_checkpoint(size.value(), note.value()).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The checkpoint of the smallest size that is at least `size`.
    ///
    /// Errors: as [`Self::latest_checkpoint`].
    pub fn checkpoint_from(&self, size: u64) -> Result<Option<SignedCheckpoint>, ArchiveError> {
        match self.checkpoints.range(size..)?.next() {
            Some(entry) => {
                let (size, note) = entry?;
                parse_checkpoint(size.value(), note.value()).map(Some)
            }
            None => Ok(None),
        }
    }

    /// All checkpoints, the smallest first.
    ///
    /// Errors: as [`Self::latest_checkpoint`].
    pub fn checkpoints(
        &self,
    ) -> Result<impl Iterator<Item = Result<SignedCheckpoint, ArchiveError>>, ArchiveError> {
        Ok(self.checkpoints.iter()?.map(|entry| {
            let (size, note) = entry?;
            parse_checkpoint(size.value(), note.value())
        }))
    }

    /// How many checkpoints are known of sizes in a range, `most` at the most.
    ///
    /// Errors: the file cannot be read.
    pub fn checkpoints_within(&self, sizes: Range<u64>, most: u64) -> Result<u64, ArchiveError> {
        Ok(self.checkpoints.range(sizes)?.take(most as usize).count() as u64)
    }

    /// How many checkpoints are known.
    ///
    /// Errors: the file cannot be read.
    pub fn checkpoint_count(&self) -> Result<u64, ArchiveError> {
        Ok(redb::ReadableTableMetadata::len(&self.checkpoints)?)
    }

    /// The operator's receipt for a statement that waits.
    ///
    /// Errors: the file cannot be read.
    pub fn receipt(&self, statement: &Hash) -> Result<Option<Receipt>, ArchiveError> {
        let Some(receipts) = &self.receipts else { return Ok(None) };
        let kept = receipts.get(statement.0)?;
        Ok(kept.and_then(|bytes| Receipt::parse_unsigned(bytes.value()).ok()))
    }

    /// What waits for a place in the log: by author, then by its place in the author's chain.
    ///
    /// Errors: the file cannot be read.
    pub fn pending(&self) -> Result<Vec<Pending>, ArchiveError> {
        let mut all = Vec::new();
        for entry in self.pending.iter()? {
            let (hash, value) = entry?;
            let (since, bytes) = value.value();
            let statement = Statement::parse_unsigned(bytes)
                .map_err(|why| ArchiveError::Statement { index: self.size, why })?;
            let receipt = self.receipt(&Hash(hash.value()))?;
            all.push(Pending { statement, since, receipt });
        }
        all.sort_by_key(|p| (p.statement.author, p.statement.seq, p.statement.hash()));
        Ok(all)
    }
}

impl Nodes for Snapshot {
    type Error = ArchiveError;

    fn node(&self, level: u8, index: u64) -> Result<TreeHash, ArchiveError> {
        let node = self.nodes.get((level, index))?;
        let missing = || ArchiveError::Tree(format!("node {index} of level {level} is missing"));
        Ok(TreeHash(node.ok_or_else(missing)?.value()))
    }
}

/// The nodes as a write transaction sees them.
struct WriteNodes<'a, T: ReadableTable<(u8, u64), [u8; 32]>>(&'a T);

impl<T: ReadableTable<(u8, u64), [u8; 32]>> Nodes for WriteNodes<'_, T> {
    type Error = ArchiveError;

    fn node(&self, level: u8, index: u64) -> Result<TreeHash, ArchiveError> {
        let node = self.0.get((level, index))?;
        let missing = || ArchiveError::Tree(format!("node {index} of level {level} is missing"));
        Ok(TreeHash(node.ok_or_else(missing)?.value()))
    }
}

fn open_tables(write: &WriteTransaction) -> Result<(), ArchiveError> {
    write.open_table(ENTRIES)?;
    write.open_table(NODES)?;
    write.open_table(PLACES)?;
    write.open_table(CHECKPOINTS)?;
    write.open_table(PENDING)?;
    write.open_table(RECEIPTS)?;
    write.open_table(FACTS)?;
    Ok(())
}

fn next_index(entries: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, ArchiveError> {
    Ok(entries.last()?.map_or(0, |(index, _)| index.value() + 1))
}

fn append(
    write: &WriteTransaction,
    id: Hash,
    statements: &[Statement],
) -> Result<u64, ArchiveError> {
    let mut entries = write.open_table(ENTRIES)?;
    let mut places = write.open_table(PLACES)?;
    let mut nodes = write.open_table(NODES)?;
    let first = next_index(&entries)?;
    let mut size = first;
    for statement in statements {
        let belongs =
            if size == 0 { statement.commons_id() == Some(id) } else { statement.log == id };
        if !belongs {
            return Err(ArchiveError::Foreign(statement.hash()));
        }
        if places.insert(statement.hash().0, size)?.is_some() {
            return Err(ArchiveError::Twice(statement.hash()));
        }
        entries.insert(size, statement.bytes())?;
        size += 1;
    }
    let leaves = statements.iter().map(|s| TreeHash::of_leaf(s.bytes()));
    for node in tlog::append_all(first, leaves, &WriteNodes(&nodes))? {
        nodes.insert((node.level, node.index), node.hash.0)?;
    }
    Ok(size)
}

/// Takes statements from `size` on out of the log, and returns their bytes.
fn cut(write: &WriteTransaction, size: u64) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let mut entries = write.open_table(ENTRIES)?;
    let mut places = write.open_table(PLACES)?;
    let gone: Vec<Vec<u8>> = entries
        .range(size..)?
        .map(|entry| entry.map(|(_, bytes)| bytes.value().to_vec()))
        .collect::<Result<_, _>>()?;
    entries.retain_in(size.., |_, _| false)?;
    for bytes in &gone {
        places.remove(Hash::of(bytes).0)?;
    }
    let mut nodes = write.open_table(NODES)?;
    for level in 0..63u8 {
        nodes.retain_in((level, size >> level)..(level + 1, 0), |_, _| false)?;
    }
    Ok(gone)
}

fn keep_checkpoint(
    write: &WriteTransaction,
    checkpoint: &SignedCheckpoint,
) -> Result<(), ArchiveError> {
    let head = checkpoint.checkpoint();
    let wrong = |why: String| ArchiveError::Checkpoint { size: head.size, why };
    let size = next_index(&write.open_table(ENTRIES)?)?;
    if head.size > size {
        return Err(wrong(format!("is beyond the log's {size} statements")));
    }
    let root = tlog::root(head.size, &WriteNodes(&write.open_table(NODES)?))?;
    if root != head.root {
        return Err(wrong(format!("has root {}, the log's is {root}", head.root)));
    }
    let mut checkpoints = write.open_table(CHECKPOINTS)?;
    let mut kept = checkpoint.clone();
    if let Some(known) = checkpoints.get(head.size)? {
        for signature in parse_checkpoint(head.size, known.value())?.note().signatures() {
            kept.add(signature.clone()).map_err(|e| wrong(e.to_string()))?;
        }
    }
    checkpoints.insert(head.size, kept.to_string().as_str())?;
    forget_placed(write, head.size)
}

/// What has its place below `size`, that of a signed head, waits no more. Until there is one, a
/// place may be taken away again by [`Archive::cut_back`].
fn forget_placed(write: &WriteTransaction, size: u64) -> Result<(), ArchiveError> {
    let places = write.open_table(PLACES)?;
    let mut pending = write.open_table(PENDING)?;
    let mut placed = Vec::new();
    for entry in pending.iter()? {
        let hash = entry?.0.value();
        if places.get(hash)?.is_some_and(|index| index.value() < size) {
            placed.push(hash);
        }
    }
    let mut receipts = write.open_table(RECEIPTS)?;
    for hash in placed {
        pending.remove(hash)?;
        receipts.remove(hash)?;
    }
    Ok(())
}

fn parse_checkpoint(size: u64, note: &str) -> Result<SignedCheckpoint, ArchiveError> {
    SignedCheckpoint::parse(note.as_bytes())
        .map_err(|why| ArchiveError::Checkpoint { size, why: why.to_string() })
}
