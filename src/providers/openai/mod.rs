//! OpenAI. Start reading at [`realtime`], the model leg of a call; [`text`] writes summaries and vectors.

pub mod realtime;
pub mod text;
