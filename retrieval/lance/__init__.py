"""Galleries on LanceDB: a folder or object storage, with many writers and searchers at once."""
