"""ingestion: HTTP in, raw topics out, answered only after the broker's acknowledgement."""
