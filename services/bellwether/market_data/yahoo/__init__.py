"""Bars from Yahoo Finance: yfinance in a child process, and around it limits, checks and when to ask."""
