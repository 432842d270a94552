//! OpenAI. Start reading at [`realtime`], the model leg of a call.

pub mod realtime;
