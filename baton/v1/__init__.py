"""The wire, generated from `protos/baton/v1`; never edited by hand."""
