"""Prior self-activation maps as published; `stages` reads like the paper, `config` holds its constants."""
