"""The only place where proto meets types: conversion, channels, servers, errors, deadlines."""
