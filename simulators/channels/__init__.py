"""A simulator of two channels' bill interfaces, WeChat Pay v3 and Alipay: signed, verified, with links that die."""
