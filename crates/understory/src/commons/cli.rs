//! The commands of a commons and their flags.

use clap::{Args, Subcommand, ValueEnum};
use ids::{Hash, PeerId};
use std::path::PathBuf;

/// Where a commons and its member's keys are.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Folder of the commons
    #[arg(long, default_value = "understory-commons", value_name = "DIR")]
    pub dir: PathBuf,
    /// Folder of the keys, by default understory/keys where the system keeps configurations
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where keys are.
#[derive(Args, Clone, Debug)]
pub struct KeyPlace {
    /// Folder of the keys, by default understory/keys where the system keeps configurations
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Make a key and the one that will replace it, both encrypted with a passphrase
    ///
    /// The passphrase is asked for, or taken from UNDERSTORY_PASSPHRASE.
    Create(KeyPlace),
    /// Show the card that others need of you: public keys, nothing secret
    Show(KeyPlace),
    /// Replace your keys by the one committed to, and commit to a new one
    Rotate(RotateArgs),
    /// End the key that this device has
    Revoke(Place),
    /// Ask your guardians for new keys after losing the old ones, with a new key folder
    Recover {
        /// The member that lost its keys: name or id
        member: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print what another device of yours has to hand over, so that `rotate --device` adds it
    Device {
        /// Your member id
        member: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
pub struct RotateArgs {
    /// A further device, as `understory key device` printed it there
    #[arg(long, value_name = "TEXT")]
    pub device: Vec<String>,
    /// A member that helps if the keys are lost
    #[arg(long, value_name = "MEMBER")]
    pub guardian: Vec<String>,
    /// How many guardians it takes; by default most of them
    #[arg(long)]
    pub threshold: Option<u8>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Subcommand, Debug)]
pub enum CommonsCommand {
    /// Begin a commons
    Create(CreateArgs),
    /// Begin a new commons with the history of this one
    Fork(ForkArgs),
    /// Get a commons from a member that serves it, everything checked
    Join(JoinArgs),
    /// Keep the log in step with the others: serve it, operate and cosign where it is your turn,
    /// show the page
    Serve(ServeArgs),
    /// Keep the log in step with the others and cosign its heads, as a witness that the members
    /// named
    Witness(ServeArgs),
    /// Bring the log up to date and take along what waits, without staying
    Sync {
        /// A ticket of a member to ask, besides the one it was joined with
        #[arg(long, value_name = "TICKET")]
        peer: Vec<String>,
        /// A relay for members that cannot be reached directly (iroh relay URL, or "public")
        #[arg(long, value_name = "URL")]
        relay: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Show the page alone
    Page {
        /// Port on 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = 7071)]
        port: u16,
        #[command(flatten)]
        place: Place,
    },
    /// Show members, lineage, milestones, questions, health or the log itself
    Show {
        /// What
        #[arg(value_enum, default_value_t = Shown::Members)]
        view: Shown,
        /// As of this many statements
        #[arg(long)]
        at: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Print the digest of every view: members with the same log have the same
    Hash(Place),
    /// Check every statement, signature, root and checkpoint from the genesis on
    ///
    /// Exit status: 0 all holds, 1 something does not, 2 it could not be checked.
    Verify(Place),
    /// Write the log as C2SP tiles and a checkpoint that other programs read
    Export {
        /// Folder to write; must not exist or be empty
        to: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Write a proof that a statement is in the log, for somebody without the log
    ///
    /// The file is a C2SP tlog-proof with the statement in it.
    Prove {
        /// The statement: number or beginning of its hash
        #[arg(required_unless_present = "split")]
        statement: Option<String>,
        /// Instead, that the log's operator signed two histories
        #[arg(long, conflicts_with = "statement")]
        split: bool,
        /// File to write; must not exist
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Check a proof that `commons prove` wrote, without the log or the network
    ///
    /// Exit status: 0 it holds, 1 it does not, 2 it could not be checked.
    CheckProof(CheckProofArgs),
    /// Begin as a person here; members have to vouch for you
    Introduce {
        /// What you are called
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Vouch that somebody is one person and not here already
    Vouch {
        /// Name or id
        member: String,
        /// Take the vouch back
        #[arg(long)]
        withdraw: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Say where you work
    Affiliation {
        /// The organisation
        org: String,
        /// As what
        #[arg(long, default_value = "member")]
        role: String,
        /// Since when, in Unix seconds; by default now
        #[arg(long)]
        from: Option<u64>,
        /// Until when
        #[arg(long)]
        to: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Declare an interest
    Conflict {
        /// In what
        with: String,
        /// No longer
        #[arg(long)]
        ended: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Choose the house you sit in
    House {
        /// Which
        #[arg(value_enum)]
        house: HouseName,
        #[command(flatten)]
        place: Place,
    },
    /// Say that you use an artifact: standing in the users' house rests on it
    Use {
        /// Its digest
        artifact: String,
        /// For which organisation
        #[arg(long)]
        by: Option<String>,
        /// For how many days
        #[arg(long, default_value_t = 90)]
        days: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Publish an artifact under a name
    Publish {
        /// Its name
        name: String,
        /// Its digest, or a file to take it of
        artifact: String,
        /// Its licence, as an SPDX expression
        #[arg(long, default_value = "")]
        licence: String,
        #[command(flatten)]
        place: Place,
    },
    /// Say what was made from what
    Derive {
        /// The result's digest
        child: String,
        /// A parent's digest; again for each
        #[arg(long)]
        parent: Vec<String>,
        /// How the result came from them
        #[arg(long, value_enum, default_value_t = RelationName::Tuned)]
        relation: RelationName,
        /// The recipe's digest, or a file to take it of
        #[arg(long)]
        recipe: String,
        #[command(flatten)]
        place: Place,
    },
    /// Judge a statement: confirm it after doing it again, or say what you found
    Check {
        /// The statement: number or beginning of its hash
        statement: String,
        /// What you found
        #[arg(value_enum)]
        verdict: VerdictName,
        /// In words
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// As a steward, name the key that is to operate the log
    Operator {
        /// A member, whose key is meant, or a key
        key: String,
        #[command(flatten)]
        place: Place,
    },
    /// As the log's operator, give waiting statements their place now
    Settle(Place),
    /// Print the witness key of this key folder, made if there is none
    WitnessKey(KeyPlace),
    /// Print the operator key of this key folder, made if there is none: for stewards to name
    OperatorKey(KeyPlace),
}

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What people will call it
    pub name: String,
    /// The charter's text
    #[arg(long, value_name = "FILE")]
    pub charter: Option<PathBuf>,
    /// Your own name
    #[arg(long, default_value = "founder")]
    pub me: String,
    /// A further founder, as NAME=CARD with the card of `understory key show`; a steward too
    #[arg(long, value_name = "NAME=CARD")]
    pub founder: Vec<String>,
    /// A witness, as NAME=KEY; by default a key of your own, which proves nothing to others
    #[arg(long, value_name = "NAME=KEY")]
    pub witness: Vec<String>,
    /// How many witnesses must cosign; by default most of them
    #[arg(long)]
    pub threshold: Option<u8>,
    /// Rules, as `understory commons show rules` prints them
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct ForkArgs {
    /// What people will call it
    pub name: String,
    /// Folder of the new commons
    pub to: PathBuf,
    /// How many of the old one's statements to take over; by default all
    #[arg(long)]
    pub at: Option<u64>,
    /// A member of the old one who comes along as a founder: name or id
    #[arg(long, value_name = "MEMBER")]
    pub with: Vec<String>,
    /// A new charter
    #[arg(long, value_name = "FILE")]
    pub charter: Option<PathBuf>,
    /// A witness, as NAME=KEY; by default a key of your own
    #[arg(long, value_name = "NAME=KEY")]
    pub witness: Vec<String>,
    /// How many witnesses must cosign; by default most of them
    #[arg(long)]
    pub threshold: Option<u8>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct JoinArgs {
    /// What `understory commons serve` printed at another member's
    pub ticket: String,
    /// A relay for members that cannot be reached directly (iroh relay URL, or "public")
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on; 127.0.0.1:0 for this machine alone
    #[arg(long, default_value = "0.0.0.0:0")]
    pub bind: std::net::SocketAddr,
    /// An address to tell others besides those the machine has, such as a forwarded port
    #[arg(long)]
    pub external: Vec<std::net::SocketAddr>,
    /// A relay for members that cannot reach each other directly (iroh relay URL, or "public")
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    /// A ticket of a further member to connect to
    #[arg(long, value_name = "TICKET")]
    pub peer: Vec<String>,
    /// Do not operate the log, though the key for it is here
    #[arg(long)]
    pub no_operate: bool,
    /// As the operator, have witnesses vouch for the time this often while nothing happens, in
    /// seconds
    #[arg(long, default_value_t = 600)]
    pub heartbeat: u64,
    /// Port of the page on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Do not serve the page
    #[arg(long)]
    pub no_page: bool,
    /// End when standard input closes
    #[arg(long, hide = true)]
    pub leash: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct CheckProofArgs {
    /// What `commons prove` wrote
    pub file: PathBuf,
    /// The commons' id: judge by its genesis, which the file has with it
    #[arg(long, value_name = "ID", required_unless_present = "dir", conflicts_with = "dir")]
    pub commons: Option<Hash>,
    /// With --commons, a key that you know to operate the log since the genesis
    #[arg(long, value_name = "KEY", requires = "commons")]
    pub operator: Vec<PeerId>,
    /// Folder of the commons: judge by its log
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Who belongs here
    Members,
    /// What was made from what
    Lineage,
    /// Records of training runs that members have marked
    Milestones,
    /// Questions and how they stand
    Questions,
    /// Whether the log is well
    Health,
    /// The rules in force, as TOML
    Rules,
    /// The charter
    Charter,
    /// Every statement
    Log,
    /// Statements that wait for their place
    Waiting,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HouseName {
    Users,
    Contributors,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationName {
    Trained,
    Tuned,
    Merged,
    Distilled,
    Quantized,
    Pruned,
    Converted,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictName {
    Confirmed,
    Mismatch,
    Unavailable,
    Disputed,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicName {
    Question,
    Charter,
    Rules,
    Licence,
    Rights,
    Stewards,
    Removal,
    Panel,
    Appeal,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodName {
    Approval,
    Schulze,
    Committee,
    Stv,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnrankedName {
    /// Below everything ranked, as in Debian
    Last,
    /// No opinion, as in Kubernetes
    NoOpinion,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieName {
    /// The option listed first
    Listed,
    /// Drawn from what kept the ballots secret; only with --secret
    Lot,
    /// The proposer's ballot
    Mine,
}

#[derive(Args, Debug)]
pub struct ProposeArgs {
    /// The question in a line
    pub title: String,
    /// What it is about; that decides what it takes
    #[arg(long, value_enum, default_value_t = TopicName::Question)]
    pub topic: TopicName,
    /// The question in full
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// An option; again for each. Of a charter or rules a file, of stewards or a removal a member
    #[arg(long = "option", value_name = "OPTION")]
    pub options: Vec<String>,
    /// The option that stands for "none of these"; it is added last. For stewards there is none
    #[arg(long, default_value = "none of these")]
    pub default: String,
    /// How ballots are counted; by default schulze, for stewards stv
    #[arg(long, value_enum)]
    pub method: Option<MethodName>,
    /// What it means that a ballot does not rank an option
    #[arg(long, value_enum, default_value_t = UnrankedName::Last)]
    pub unranked: UnrankedName,
    /// What settles a tie; by default the option listed first, with --secret a lot
    #[arg(long, value_enum)]
    pub tie: Option<TieName>,
    /// How many win, or sit on the panel; of stewards, by default, those whose terms end
    #[arg(long)]
    pub seats: Option<u16>,
    /// The majority that options need over the default option, as 3:1
    #[arg(long, default_value = "1:1")]
    pub majority: String,
    /// The largest part of the seats that one employer may have, as 1/3
    #[arg(long)]
    pub cap: Option<String>,
    /// Seats of a panel for a house or an employer, as users=1..2
    #[arg(long, value_name = "NAME=MIN..MAX")]
    pub quota: Vec<String>,
    /// How long it is open beyond the notice that the rules ask for, in seconds
    #[arg(long, default_value_t = 60)]
    pub open: u64,
    /// Keep ballots secret until the close; they are revealed in this many seconds after it, or in
    /// the notice where that is longer. A panel is always drawn from secrets
    #[arg(long, value_name = "SECONDS")]
    pub secret: Option<u64>,
    /// The question appealed against: number or beginning of its hash
    #[arg(long)]
    pub appeal: Option<String>,
    /// The question by which the members listed the committee's seats that are held already: the cap
    /// counts them
    #[arg(long, value_name = "QUESTION")]
    pub held: Option<String>,
    /// Takes files for options that list such seats: each has a `committee`, and a
    /// `[[seat]]` with `name`, `org` and `until` for each seat
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct VoteArgs {
    /// The question: number or beginning of its hash
    pub question: String,
    /// Options, best first: names, beginnings of names or numbers as #3; equal ones joined by =, as East #1=#3
    pub ranking: Vec<String>,
    /// Reveal the secret ballot that was committed to
    #[arg(long, conflicts_with = "ranking")]
    pub reveal: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct TallyArgs {
    /// The question: number or beginning of its hash; all of them if absent
    pub question: Option<String>,
    /// Show the pairwise matrix and every step in words
    #[arg(long)]
    pub explain: bool,
    /// As of this many statements
    #[arg(long)]
    pub at: Option<u64>,
    #[command(flatten)]
    pub place: Place,
}

/// One question.
#[derive(Args, Debug)]
pub struct QuestionArgs {
    /// The question: number or beginning of its hash
    pub question: String,
    /// As of this many statements
    #[arg(long)]
    pub at: Option<u64>,
    #[command(flatten)]
    pub place: Place,
}
