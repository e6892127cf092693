"""Getting bill files from where channels leave them: folders, SFTP, WeChat Pay and Alipay (docs/fetching.md)."""
