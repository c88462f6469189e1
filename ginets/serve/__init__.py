"""Models behind HTTP. Its modules import FastAPI, which comes with `ginets[serve]`; nothing else imports them."""
