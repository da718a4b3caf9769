"""Images that are no files of their own: in object storage, on web servers, in tar shards and in Parquet files."""
